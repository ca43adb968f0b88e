"""kafka-delete-records.sh: deletes the records before given offsets."""

import json
from pathlib import Path

from ....core.errors import HeadraceError
from ...wire.error_codes import ErrorCode
from .options import add_bootstrap, admin, exception_name, make_parser


def main(argv: list[str]) -> int:
    parser = make_parser("kafka-delete-records", "Deletes records down to the given offsets.")
    add_bootstrap(parser)
    parser.add_argument("--offset-json-file", type=Path, required=True)
    args = parser.parse_args(argv)
    offsets = read_offsets(args.offset_json_file)
    print("Executing records delete operation")
    with admin(args) as client:
        rows = client.delete_records(offsets)
    print("Records delete operation completed:")
    for row in rows:
        partition = f"partition: {row['topic']}-{row['partition']}"
        if row["error"] == "NONE":
            print(f"{partition}\tlow_watermark: {row['low_watermark']}")
        else:
            code = ErrorCode[row["error"]]
            exception = f"org.apache.kafka.common.errors.{exception_name(code.name)}"
            print(f"{partition}\terror: {exception}: {code.message}")
    return 0


def read_offsets(path: Path) -> dict[tuple[str, int], int]:
    """(topic, partition) -> offset of Kafka's JSON file; raises for a repeated partition."""
    try:
        document = json.loads(path.read_text())
        if document.get("version", 1) != 1:
            raise HeadraceError(f"Not supported version field value {document['version']}")
        rows = [
            ((str(row["topic"]), int(row["partition"])), int(row["offset"]))
            for row in document["partitions"]
        ]
    except OSError as error:
        raise HeadraceError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise HeadraceError(
            f'{path} must hold {{"partitions": [{{"topic": "t", "partition": 0, "offset": 1}}], '
            f'"version": 1}}: {error!r}'
        ) from None
    repeated = sorted({key for key, _ in rows if [k for k, _ in rows].count(key) > 1})
    if repeated:
        raise HeadraceError(f"Offset json file contains duplicate topic partitions: {repeated}")
    return dict(rows)
