"""SQL over a live topic: duckdb reads it through Arrow, as it is."""

import json
import tempfile

import duckdb

import headrace

QUERY = """
    select page, count(*) as visits
    from (select json_extract_string(decode(value), '$.page') as page from clicks)
    group by page order by visits desc
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, headrace.open(folder) as store:
        clicks = store.topic("clicks", partitions=2)
        for number in range(1000):
            page = "/home" if number % 3 else "/about"
            clicks.append(json.dumps({"page": page}).encode(), key=b"user-%d" % (number % 7))
        connection = duckdb.connect()
        print(connection.sql(QUERY).fetchall())

        clicks.append(json.dumps({"page": "/new"}).encode())  # seen by the next query
        print(connection.sql(QUERY).fetchall())


if __name__ == "__main__":
    main()
