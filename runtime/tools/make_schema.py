"""Write the schema of .tflite files, as the verifiers of flatbuffers read it.

    python tools/make_schema.py       (needs TensorFlow 2.15, for its schema)

It goes to src/host/tflite_schema.inc, for the delegate, and to s2bnn_tf/tflite/schema_text.py. Each
line is a table or a union with its fields by number. A field is a scalar (s) or a vector of scalars
(v) with the bytes of one, a string (S), a table (t), a vector of tables (T), or a union (u), whose
type is the field before it; the fields of a union are its members (m). The names of the builtin
operators go to Python alone, in the order of their numbers.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from tensorflow.lite.python import schema_py_generated as schema

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    ROOT / "src" / "host" / "tflite_schema.inc": (
        '// Made by tools/make_schema.py.\nR"(\n',
        ')"\n',
    ),
    ROOT.parent / "s2bnn_tf" / "tflite" / "schema_text.py": (
        '"""The schema of TensorFlow Lite, made by runtime/tools/make_schema.py."""\n\n'
        'SCHEMA = """\n',
        '"""\n\nOPERATORS = """\n{operators}"""\n',
    ),
}
BYTES = {"Bool": 1, "Int8": 1, "Uint8": 1, "Uint16": 2, "Int32": 4, "Uint32": 4, "Float32": 4}
BYTES |= {"Int64": 8, "Uint64": 8}
# Which union a field of that name holds; the generated code does not say.
UNIONS = {
    "BuiltinOptions": "BuiltinOptions",
    "BuiltinOptions2": "BuiltinOptions2",
    "Details": "QuantizationDetails",
    "ArraySegments": "SparseIndexVector",
    "ArrayIndices": "SparseIndexVector",
}


def field(name: str, body: str) -> tuple[int, str] | None:
    """The number and the kind of the field that a generated method reads."""
    offset = re.search(r"self\._tab\.Offset\((\d+)\)", body)
    if offset is None or re.search(r"(AsNumpy|Length|IsNone)$", name):
        return None
    number = (int(offset[1]) - 4) // 2
    scalar = re.search(r"number_types\.(\w+)Flags, (a|o) \+", body)
    table = re.search(r"obj = (\w+)\(\)", body)
    if "self._tab.Union" in body:
        return number, "u" + UNIONS[name]
    if "self._tab.String" in body:
        return number, "S"
    if table:
        return number, ("T" if "self._tab.Vector" in body else "t") + table[1]
    assert scalar, body
    return number, ("v" if scalar[2] == "a" else "s") + str(BYTES[scalar[1]])


def table_line(name: str) -> str:
    fields = {}
    for method, function in vars(getattr(schema, name)).items():
        if inspect.isfunction(function) and method not in ("Init",):
            found = field(method, inspect.getsource(function))
            if found:
                fields[found[0]] = found[1]
    return " ".join([name, *(f"{number}={kind}" for number, kind in sorted(fields.items()))])


def union_line(name: str) -> str:
    members = {
        number: member
        for member, number in vars(getattr(schema, name)).items()
        if isinstance(number, int) and number > 0
    }
    return " ".join([name, *(f"{number}=m{kind}" for number, kind in sorted(members.items()))])


def lines() -> list[str]:
    """The tables and unions that a model can contain, the model first."""
    names, result = ["Model"], []
    for name in names:
        line = (union_line if name in UNIONS.values() else table_line)(name)
        result.append(line)
        for kind in line.split(" ")[1:]:
            target = kind.split("=")[1][1:]
            if not re.fullmatch(r"\d*", target) and target not in names:
                names.append(target)
    return result


def operators() -> str:
    """The names of the builtin operators, whose numbers have no gaps."""
    numbers = {
        number: name
        for name, number in vars(schema.BuiltinOperator).items()
        if isinstance(number, int)
    }
    return wrapped(" ".join(numbers[number] for number in range(len(numbers)))) + "\n"


def wrapped(line: str) -> str:
    """A long line as several, of which all but the first begin with a space."""
    result = ""
    for word in line.split(" "):
        if len(result.rsplit("\n", 1)[-1]) + 1 + len(word) > 99:
            result += "\n "
        result += (" " if result and not result.endswith(" ") else "") + word
    return result


def texts() -> dict[Path, str]:
    """The content of each target."""
    text = "".join(wrapped(line) + "\n" for line in lines())
    return {
        path: before + text + after.format(operators=operators())
        for path, (before, after) in TARGETS.items()
    }


def main() -> None:
    for path, text in texts().items():
        path.write_text(text)
        print(f"{path}: {len(text)} bytes")


if __name__ == "__main__":
    main()
