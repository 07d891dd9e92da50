# SPDX-License-Identifier: Apache-2.0
"""Reads the public files below a directory with pyarrow, as one who knows
nothing of Docket, and prints one JSON object per row: the bytes of the event,
its partition, and all attributes of columns that no segment has."""
import json
import sys
import urllib.parse

import pyarrow.dataset as ds

lake, base = sys.argv[1], set(sys.argv[2].split(","))
for file in ds.dataset(lake, format="parquet", exclude_invalid_files=False, ignore_prefixes=["_"]).files:
    partition = dict(p.split("=", 1) for p in file.split("/") if "=" in p)
    for row in ds.dataset(file, format="parquet").to_table().to_pylist():
        attributes = {k: v for k, v in row.items() if k not in base and k != "time_dt"}
        print(json.dumps({
            "raw": row["_raw"], "file": file.rsplit("/", 1)[1], "commit": row["_commit"], "pos": row["_pos"],
            "tenant": urllib.parse.unquote(partition["accountId"]), "day": partition["eventDay"],
            "time": int(row["time_dt"].timestamp() * 1000 + 0.5), "attributes": attributes,
        }))
