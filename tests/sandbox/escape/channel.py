"""Answers that are none."""
# ruff: noqa

from tests.sandbox.escape.common import *


@escape("sandbox_output")
def try_pickle(t, p):
    import pickle

    os.write(out, pickle.dumps(os.system))
    return False


@escape("sandbox_output")
def try_noise(t, p):
    os.write(out, os.urandom(4096))
    return False


@escape("sandbox_output")
def try_huge_frame(t, p):
    os.write(out, frame.HEAD.pack(b"a", 0xFFFFFFFF))
    return False


@escape("sandbox_died")
def try_half_frame(t, p):
    os.write(out, frame.HEAD.pack(b"a", 1 << 20) + b"{")
    os._exit(0)


@escape("sandbox_output", "sandbox_memory")
def try_huge_json(t, p):
    frame.write(out, b"a", b"x" * (70 << 20))
    time.sleep(5)


@escape("sandbox_output")
def try_long_json(t, p):
    frame.write(out, b"a", b'{"result":{"a":"' + b"x" * (20 << 20) + b'"}}')
    time.sleep(5)


@escape("sandbox_output")
def try_deep_json(t, p):
    frame.write(out, b"a", b'{"result":' + b'{"a":' * 500 + b"1" + b"}" * 501)
    time.sleep(5)


@escape("sandbox_output")
def try_deeper_json(t, p):
    frame.write(out, b"a", b"[" * 2000000)
    time.sleep(5)


@escape("sandbox_output")
def try_nan_json(t, p):
    frame.write(out, b"a", b'{"result":{"a":NaN}}')
    time.sleep(5)


@escape("sandbox_output")
def try_list_json(t, p):
    frame.write(out, b"a", b"[1]")
    time.sleep(5)


@escape("sandbox_output")
def try_no_result(t, p):
    frame.write(out, b"a", b'{"result":5}')
    time.sleep(5)


@escape("sandbox_output")
def try_bad_utf8(t, p):
    frame.write(out, b"a", b'{"result":{"a":"\xff\xfe"}}')
    time.sleep(5)


@escape("sandbox_output")
def try_table_first(t, p):
    frame.write(out, b"t", b"x")
    time.sleep(5)


@escape("sandbox_output")
def try_table_noise(t, p):
    frame.write(out, b"a", b'{"result":{},"tables":["x"]}')
    frame.write(out, b"t", os.urandom(999))
    time.sleep(5)


@escape("sandbox_output")
def try_table_names(t, p):
    frame.write(out, b"a", b'{"result":{},"tables":["x","x"]}')
    time.sleep(5)


@escape("sandbox_output")
def try_table_nested(t, p):
    import pyarrow as pa

    return 0, {"x": pa.table({"a": pa.nulls(2, pa.list_(pa.int64()))})}


@escape("sandbox_output")
def try_table_bomb(t, p):
    import pyarrow as pa

    s = pa.BufferOutputStream()
    b = pa.table({"a": pa.nulls(1 << 20, pa.int64())})
    with pa.ipc.new_stream(s, b.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as w:
        w.write_table(b)
    frame.write(out, b"a", b'{"result":{},"tables":["x"]}')
    frame.write(out, b"t", s.getvalue().to_pybytes())
    time.sleep(5)


@escape("sandbox_output")
def try_table_rows(t, p):
    import pyarrow as pa

    return 0, {"x": pa.table({"a": pa.nulls(1 << 26)})}


@escape("sandbox_output")
def try_progress_flood(t, p):
    while True:
        frame.write(out, b"p", b'{"a":"' + b"x" * 60000 + b'"}')


@escape("sandbox_output")
def try_progress_huge(t, p):
    frame.write(out, b"p", b'{"a":"' + b"x" * 70000 + b'"}')
    time.sleep(5)


@escape("sandbox_died")
def try_silence(t, p):
    os.close(out)
    time.sleep(60)


@escape("code_failed")
def try_false_error(t, p):
    frame.write(
        out, b"e", b'{"code":"refused","error":{"code":"' + b"A" * 9999 + b'","category":"auth"},"lines":5}'
    )
    time.sleep(5)


@escape()
def try_ansi(t, p):
    print("\x1b]0;title\x07\x1b[2J\x1b[31mred\u202e")
    return False
