# SPDX-License-Identifier: Apache-2.0
"""What ADBC's Flight SQL driver gets from the door at argv[1], as JSON."""

import json
import sys

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flightsql
import adbc_driver_manager
import pyarrow

HEADER = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value


def connect(token):
    return flightsql.connect(sys.argv[1], db_kwargs={HEADER: "Bearer " + token}, autocommit=True)


out = {}
with connect("acme") as conn:
    with conn.cursor() as cur:
        cur.execute("SELECT range AS n, 'row ' || range AS s FROM range(200000)")
        table = cur.fetch_arrow_table()
        out["rows"] = table.num_rows
        out["sum"] = sum(table.column("n").to_pylist())
        out["last"] = table.column("s")[-1].as_py()

        cur.execute(
            "SELECT 1::HUGEINT AS h, 1.50::DECIMAL(4,2) AS d, 'x' AS v, '\\x00'::BLOB AS b, DATE '2026-11-30' AS da,"
            " TIMESTAMPTZ '2026-11-30 12:00:00+02:00' AS tz, [1, NULL] AS l, {'a': 1} AS st, MAP {'k': 2} AS m, NULL AS n, '0101'::BIT AS bi"
        )
        table = cur.fetch_arrow_table()
        out["types"] = [str(f.type) for f in table.schema]
        out["values"] = [str(v) for v in table.to_pylist()[0].values()]

        cur.execute("SELECT ?::VARCHAR AS s, ?::BIGINT + 1 AS n", ("x' OR '1'='1", 41))
        out["parameters"] = cur.fetchone()
        cur.execute("SELECT count(*) FROM events WHERE message = ?", ("'; DROP VIEW events; --",))
        out["injection"] = cur.fetchone()

        for name, text in {"drop": "DROP VIEW events", "file": "FROM '/etc/passwd'", "late": "SELECT CASE WHEN range = 900000 THEN error('told late') END FROM range(1000000)"}.items():
            try:
                cur.execute(text)
                cur.fetch_arrow_table()
                out[name] = "no error"
            except adbc_driver_manager.Error as e:
                out[name] = type(e).__name__ + ": " + str(e)

        cur.execute("SELECT range FROM range(100000000000)")
        reader = cur.fetch_record_batch()
        reader.read_next_batch()
        cur.adbc_cancel()
        try:
            while True:
                reader.read_next_batch()
        except (adbc_driver_manager.Error, pyarrow.ArrowException, OSError) as e:
            out["cancelled"] = type(e).__name__

    objects = conn.adbc_get_objects(depth="all", table_name_filter="operations").read_all().to_pylist()
    tables = objects[0]["catalog_db_schemas"][0]["db_schema_tables"]
    out["objects"] = [objects[0]["catalog_name"], objects[0]["catalog_db_schemas"][0]["db_schema_name"], tables[0]["table_name"], tables[0]["table_type"]]
    out["columns"] = [c["column_name"] for c in tables[0]["table_columns"]][:3]
    out["schema"] = str(conn.adbc_get_table_schema("events").field("_raw").type)
    out["vendor"] = conn.adbc_get_info()["vendor_name"]

try:
    with connect("forged") as conn, conn.cursor() as cur:
        cur.execute("SELECT 1")
        out["forged"] = "no error"
except adbc_driver_manager.Error as e:
    out["forged"] = str(e)

json.dump(out, sys.stdout)
