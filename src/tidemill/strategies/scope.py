"""Which names of a module nobody defines, and which nobody reads: Python's scopes, read from a tree. Nothing
is run, and nothing here calls itself: a tree may be deeper than Python lets calls be."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator
from typing import Final

_ALWAYS: Final = {*dir(builtins), "__file__", "__name__", "__doc__", "__path__", "__annotations__"}
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_Comprehension = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Scope = (*_Function, ast.Lambda, ast.ClassDef, *_Comprehension)


def undefined(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[ast.Name]:
    """The places at which a name is read that nothing around it, nor Python, defines; in no order. None
    where `from x import *` hides what there is. `nodes` are all of the tree's."""
    always = set(_ALWAYS)
    for one in nodes:
        if isinstance(one, ast.ImportFrom) and any(each.name == "*" for each in one.names):
            return
        if isinstance(one, ast.Global):
            always |= set(one.names)
        always |= {each.name for each in getattr(one, "type_params", ())}
    waiting: list[tuple[ast.AST, tuple[set[str], ...]]] = [(tree, (always,))]
    while waiting:
        scope, outer = waiting.pop()
        known = (*outer, _bound(scope))
        # What stands in a class's body is not seen from the functions in it.
        inner = outer if isinstance(scope, ast.ClassDef) else known
        for node in _own(scope):
            if isinstance(node, _Scope):
                waiting.append((node, inner))
            elif (
                isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Load)
                and not any(node.id in names for names in known)
            ):
                yield node


def unused(tree: ast.Module, nodes: list[ast.AST]) -> Iterator[tuple[ast.alias, str]]:
    """Imports at the top whose name is never read, with that name."""
    read = {one.id for one in nodes if isinstance(one, ast.Name)}
    for one in nodes:
        # Names in annotations that are text, and in `__all__`.
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            read.update(re.findall(r"\w+", one.value))
    for line in tree.body:
        if isinstance(line, ast.Import) or (isinstance(line, ast.ImportFrom) and line.module != "__future__"):
            for each in line.names:
                name = (each.asname or each.name).partition(".")[0]
                if name != "*" and name not in read:
                    yield each, name


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """All that a scope holds, without what the scopes inside it hold."""
    waiting = list(_inside(scope))
    while waiting:
        node = waiting.pop()
        yield node
        waiting += _around(node) if isinstance(node, _Scope) else ast.iter_child_nodes(node)


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """The parts of a scope that are looked up in it."""
    if isinstance(scope, _Comprehension):
        for at, one in enumerate(scope.generators):
            yield one.target
            yield from one.ifs
            if at:
                yield one.iter
        yield from (scope.key, scope.value) if isinstance(scope, ast.DictComp) else (scope.elt,)
    elif isinstance(scope, ast.Lambda):
        yield scope.body
    elif isinstance(scope, (*_Function, ast.ClassDef, ast.Module)):
        yield from scope.body


def _around(scope: ast.AST) -> Iterator[ast.AST]:
    """The parts of a scope that are looked up around it: decorators, defaults, annotations, bases."""
    if isinstance(scope, _Comprehension):
        yield scope.generators[0].iter
        return
    if isinstance(scope, (*_Function, ast.ClassDef)):
        yield from scope.decorator_list
    if isinstance(scope, (*_Function, ast.Lambda)):
        yield from scope.args.defaults
        yield from (one for one in scope.args.kw_defaults if one is not None)
        yield from (one.annotation for one in _arguments(scope.args) if one.annotation is not None)
    if isinstance(scope, _Function) and scope.returns is not None:
        yield scope.returns
    if isinstance(scope, ast.ClassDef):
        yield from scope.bases
        yield from (one.value for one in scope.keywords)


def _arguments(told: ast.arguments) -> list[ast.arg]:
    every = [*told.posonlyargs, *told.args, *told.kwonlyargs, told.vararg, told.kwarg]
    return [one for one in every if one is not None]


def _bound(scope: ast.AST) -> set[str]:
    """Names that a scope defines."""
    names: set[str] = set()
    if isinstance(scope, (*_Function, ast.Lambda)):
        names |= {one.arg for one in _arguments(scope.args)}
    for node in _own(scope):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.alias(name=name, asname=other):
                names.add((other or name).partition(".")[0])
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.Nonlocal(names=several):
                names |= set(several)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                # `:=` in one of these defines a name around it.
                names |= {each.target.id for each in _own(node) if isinstance(each, ast.NamedExpr)}
    return names
