"""A file that somebody brought, kept: `tidemill data import` as a job. Piece by piece, each once."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from tidemill import errors
from tidemill.jobs.detail import Detail, unfit
from tidemill.jobs.kind.api import Context, Kind, Stopped


class Import:
    """`upload` (its id), `recipe` (whole, docs/import.md), `member` of an archive, `strict`.

    Result: `import` (its id), `rows` that were good, `new` rows of those, `bad` ones by `reasons` and where
    they are (`quarantine`, below the home), `skipped`, `instruments` with rows, start and end, `already`.
    """

    summary: ClassVar[str] = "a file of bars, trades or quotes kept"
    memory_bytes: ClassVar[int] = 1 << 30

    def check(self, detail: dict[str, Any]) -> dict[str, Any]:
        recipe = detail.get("recipe")
        asked = Detail({name: value for name, value in detail.items() if name != "recipe"})
        upload, member = asked.text("upload"), asked.text("member")
        strict = asked.number("strict", 0, 0, 1)
        asked.done()
        if upload is None:
            raise unfit("upload", "it must be named")
        from tidemill.importer import recipe as recipes

        return {"upload": upload, "recipe": recipes.of(recipe).as_dict(), "member": member, "strict": strict}

    def run(self, context: Context, detail: dict[str, Any]) -> dict[str, Any]:
        from tidemill.importer import recipe as recipes
        from tidemill.importer import source as sources
        from tidemill.importer import upload as uploads
        from tidemill.metadata import Metadata, imported

        file = uploads.find(context.home, detail["upload"])
        recipe = recipes.of(detail["recipe"])
        source = sources.open_source(file.path, file.name, detail["member"])
        context.progress(0, None, None, f"measuring {source.label}")
        total = source.measure()
        digest = source.sha256()
        key = f"{recipe.source}/{digest}/{source.member}/{recipe.digest()}"
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        metadata = Metadata.of(context.home)
        try:
            with metadata.write() as connection:
                begun = imported.begin(connection, name, file.name, recipe.source, digest, recipe.as_dict())
            if begun.ended is not None and begun.result is not None:
                context.log(f"{source.label} was imported before, with this recipe: nothing is kept twice")
                return {**begun.result, "new": 0, "already": True}
            result = self._keep(context, source, recipe, begun, total, strict=bool(detail["strict"]))
            with metadata.write() as connection:
                imported.end(connection, name, result, actor="import")
            return result
        finally:
            metadata.close()

    def _keep(
        self, context: Context, source: Any, recipe: Any, begun: Any, total: int, *, strict: bool
    ) -> dict[str, Any]:
        from tidemill.importer import keep, piece
        from tidemill.importer.quarantine import Quarantine
        from tidemill.stores.opening import open_store

        done, new = context.resumed or (0, 0)
        store = open_store(context.home.path)
        path = context.home.path / "quarantine" / begun.id / "rows.jsonl"
        count = piece.Count()
        unit = "bytes" if source.shape == "text" else "rows"
        if source.shape != "text":
            from tidemill.importer import columnar

            total = columnar.rows(source)
        try:
            with Quarantine(path, strict=strict, label=source.label) as quarantine:
                found = piece.pieces(source, recipe, quarantine, count, begun.created)
                for at, one in enumerate(found):
                    if context.cancelled():
                        raise Stopped
                    if at < done:
                        continue  # kept by an attempt before this one
                    if keep.keep(store, one, recipe, chunk=begun.id, ts_recv=begun.created):
                        new += len(one.rows)
                    context.checkpoint([at + 1, new])
                    context.progress(
                        one.done, max(total, one.done), unit, f"{one.instrument}, {count.rows:,} rows"
                    )
        finally:
            store.close()
        if not count.rows and quarantine.rows:
            reasons = ", ".join(f"{why} ({rows})" for why, rows in list(quarantine.as_dict().items())[:3])
            raise errors.DataQualityError(
                "import_nothing_kept",
                f"none of the {quarantine.rows:,} rows of {source.label} is good: {reasons}",
                hint="`tidemill data import --dry-run` shows how they are read; mend the recipe",
            )  # fmt: skip
        return {
            "import": begun.id, "name": source.label, "kind": recipe.kind, "rows": count.rows, "new": new,
            "bad": quarantine.rows, "reasons": quarantine.as_dict(), "skipped": count.skipped,
            "quarantine": str(path.relative_to(context.home.path)) if quarantine.rows else None,
            "instruments": [
                {"instrument": name, "rows": rows, "start": str(first), "end": str(last)}
                for name, (rows, first, last) in sorted(count.instruments.items())
            ],
            "already": False,
        }  # fmt: skip


plugin: type[Kind] = Import
