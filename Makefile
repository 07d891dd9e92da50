# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. Needed: Go and git, and a C compiler for SQL
# (DuckDB). Everything else is built from tools/go.mod into .tmp/bin. Settings
# can be given as in `make test GOTESTFLAGS=-v`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN   := $(CURDIR)/.tmp/bin
FOR   ?= 1h
FUZZTIME ?= 2s
OCSFFUZZTIME ?= 6s
TORTUREFUZZTIME ?= 10m
GOTESTFLAGS ?=

# The revision is given to the linker by name. Go's own stamping asks git in a
# way that fails where the tree belongs to another user, as in many containers.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/docket-audit/docket/cmd/internal/version.revision=$(VERSION)

# Packages that declare a thing at the left margin of a file of theirs.
packages_with = $(shell grep -rlE --include='*_test.go' --exclude-dir=.tmp --exclude-dir=tools --exclude-dir=replaytest '$(1)' . | xargs -r -n1 dirname | sort -u)

# The names of the tests in files that declare such a thing, as a pattern for -run.
tests_with = ^($(shell grep -rlE --include='*_test.go' --exclude-dir=.tmp '$(1)' . | xargs -r grep -hoE '^func Test[A-Za-z0-9_]+' | cut -c6- | sort -u | paste -sd '|'))$$

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##### run

.PHONY: up
up: build ## broker, collector, lake, API and proxy in one process, with demo traffic
	bin/docket up --demo

.PHONY: compose-secrets
compose-secrets: ## the passwords and certificates that docker-compose.yml mounts, in deploy/secrets
	go run ./cmd/docket secrets deploy/secrets

.PHONY: build
build: ## bin/docket and bin/docket-gateway
	go build -ldflags '$(LDFLAGS)' -o bin/docket ./cmd/docket
	CGO_ENABLED=0 go build -ldflags '$(LDFLAGS)' -o bin/docket-gateway ./cmd/docket-gateway

##### test

# Many tests wait, for a broker, a checkpoint or a program, so there are more packages
# at a time than cores. What tests make is soon dropped and the machine has room: so
# garbage is collected less often than in a docket, which takes a sixth off all they do.
# go vet would take as long as the longest test; it is part of lint.
GARBAGE = $(or $(GOGC),400)

.PHONY: test
test: export GOGC := $(GARBAGE)
test: ## what a newcomer runs: every package once, at most 4 minutes on 2 cores
	go test -p 4 -vet=off $(GOTESTFLAGS) ./...
	@if [ "$$(go env CGO_ENABLED)" = 0 ]; then \
	  echo "left out: SQL, for want of a C compiler (apt install gcc)"; fi
	@echo "left out: race detector, crash and outage tests, fuzzing, lint and vet, generated files," \
	  "examples/replaytest, public files read by pyarrow, Flight SQL by ADBC, the TypeScript client, tests against ClickHouse, alerts by promtool, builds without cgo and from a clean copy; make test-all runs them"

.PHONY: test-all
test-all: test test-rest ## everything but torture, at most 25 minutes on 2 cores

.PHONY: test-rest
test-rest: need-tools lint generate-check nocgo replaytest pyarrow adbc typescript promtool manifests race clickhouse e2e fuzz ## what test-all adds to test

.PHONY: need-tools
need-tools:
	@for tool in git gcc python3 node npm; do command -v $$tool >/dev/null || { echo "make: $$tool is missing" >&2; exit 1; }; done
	@[ "$$(go env CGO_ENABLED)" = 1 ] || { echo "make: cgo is off" >&2; exit 1; }
	@command -v promtool >/dev/null || command -v apt-get >/dev/null || { echo "make: promtool is missing, and there is no apt to get it by" >&2; exit 1; }

# A program under the race detector sleeps for a second before it exits, for the sake
# of goroutines that it left running. The tests start a thousand such programs, which
# wait for theirs, or are killed; so each sleeps for a moment only.
# Packages that have, in tests too, one goroutine only are left out; internal/arch sees
# to that.
SEQUENTIAL := ./cmd/internal/duration ./cmd/internal/shorthand ./collector/lake/index ./collector/ledger/proof ./internal/arch ./internal/disk ./internal/regular ./ocsf/internal/jsontree

.PHONY: race
race: export GORACE := atexit_sleep_ms=10 $(GORACE)
race: export GOGC := $(GARBAGE)
race: ## every package under the race detector, but for those with one goroutine only
	go test -race -vet=off -shuffle=on -count=1 -p 3 -timeout 20m $(GOTESTFLAGS) $$(go list ./... | grep -vE '/($(subst $(eval) ,|,$(SEQUENTIAL:./%=%)))$$')
	@echo "left out: $(SEQUENTIAL), which have one goroutine only;" \
	  "under the race detector, most of the bytes, files, columns, holes and points at which" \
	  "collector, collector/verify, collector/lake, emitter and interceptor/replay do the same; make test takes all that it takes"

# Tests behind the tag e2e kill processes, cut networks or build from a clean
# copy. -p 1: packages mind their neighbours. Within one, those run
# beside each other that wait most of the time, for the demo or for a broker that is gone.
# Some store in ClickHouse; with the tag chdb they fail where there is no engine.
# The faults of a cluster of NATS are made beside all others: it waits for elections,
# mostly, and what it judges does not depend on how long anything takes.
.PHONY: e2e
e2e: .tmp/chdb/.done ## crashes, outages, the demo and its journals, the image's build
	@go test -tags e2e -count=1 -timeout 20m $(GOTESTFLAGS) ./internal/cluster >.tmp/cluster.log 2>&1 & cluster=$$!; rc=0; \
	trap 'kill $$cluster 2>/dev/null' INT TERM; set -x; \
	go test -tags e2e,chdb -count=1 -p 1 -timeout 20m $(GOTESTFLAGS) -run '$(call tests_with,^//go:build e2e)' $(filter-out ./internal/cluster,$(call packages_with,^//go:build e2e)) || rc=1; \
	wait $$cluster || rc=1; cat .tmp/cluster.log; exit $$rc

.PHONY: torture
torture: ## power cuts and damage at every byte, faults, kills (FOR=1h, at least 500), the whole system and a cluster of NATS for as long, replay over 100,000 operations, the fuzz tests of ocsf; a report under docs/torture
	@mkdir -p docs/torture
	{ echo "make torture FOR=$(FOR)"; \
	  echo "commit  $(VERSION)"; \
	  echo "machine $$(uname -srm), $$(nproc) cores, $$(awk '/^MemTotal/ {print int($$2/1048576+0.5)}' /proc/meminfo) GiB, $$(go version)"; \
	  echo "began   $$(date -u +%FT%TZ)"; \
	  go test -tags e2e,torture -count=1 -timeout 0 -v -run '^TestTorture$$' ./emitter ./internal/e2e ./internal/cluster ./collector/verify ./collector/follow -torture.for=$(FOR); \
	  go test -tags torture -count=1 -timeout 0 -run '^(TestUnchangedChain|TestCatalogue)$$' ./interceptor/replay; \
	  for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' ocsf/*_test.go | cut -c6-); do \
	    echo "fuzz    $$name for $(TORTUREFUZZTIME)"; \
	    tools/fuzz.sh $(TORTUREFUZZTIME) ./ocsf $$name | tail -3; done; \
	  echo "ended   $$(date -u +%FT%TZ)"; \
	} 2>&1 | tee docs/torture/$(VERSION).txt

# Two packages at a time, as a fuzz test links, and waits for its end, on one processor.
.PHONY: fuzz
fuzz: ## each fuzz test for FUZZTIME, those of ocsf for OCSFFUZZTIME
	@{ echo $(OCSFFUZZTIME) ./ocsf; \
	  for dir in $(filter-out ./ocsf,$(call packages_with,^func Fuzz)); do echo $(FUZZTIME) $$dir; done; \
	} | xargs -P 2 -L 1 bash -c 'out=$$(tools/fuzz.sh "$$@" 2>&1); rc=$$?; printf "%s\n" "$$out"; exit $$rc' fuzz

.PHONY: replaytest
replaytest: ## examples/replaytest, a module of its own as a user's would be
	cd examples/replaytest && go test -count=1 ./...

# pyarrow is fetched into .tmp/python, for this test only.
.PHONY: pyarrow
pyarrow: .tmp/python/.done ## the public files of a lake as another reader of Parquet has them
	PYTHONPATH=$(CURDIR)/.tmp/python go test -tags pyarrow -count=1 $(GOTESTFLAGS) -run ByPyarrow ./collector/lake

.tmp/python/.done: collector/lake/testdata/requirements.txt
	python3 -m pip install --quiet --root-user-action ignore --upgrade --target .tmp/python -r $<
	@touch $@

# The compiler is fetched into schemas/typescript/node_modules; the client itself
# needs nothing but what is in the runtime.
.PHONY: typescript
typescript: schemas/typescript/node_modules/.done ## the TypeScript client, compiled, and under node against the real server
	cd schemas/typescript && rm -rf dist && npm run --silent build
	go test -tags node -count=1 $(GOTESTFLAGS) ./cmd/internal/typescript

schemas/typescript/node_modules/.done: schemas/typescript/package.json schemas/typescript/package-lock.json
	cd schemas/typescript && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# The driver too, for this test only.
.PHONY: adbc
adbc: .tmp/adbc/.done ## Flight SQL by ADBC from Python
	PYTHONPATH=$(CURDIR)/.tmp/adbc go test -tags adbc -count=1 $(GOTESTFLAGS) -run ByADBC ./collector/flight

.tmp/adbc/.done: collector/flight/testdata/requirements.txt
	python3 -m pip install --quiet --root-user-action ignore --upgrade --target .tmp/adbc -r $<
	@touch $@

# The engine is libchdb, which npm has; its file says which one, as sha512sum does.
# It is large (178 MB, 566 MB unpacked) and for tests only.
.PHONY: clickhouse
clickhouse: .tmp/chdb/.done ## what needs a ClickHouse, against a real engine
	go test -tags chdb -count=1 $(GOTESTFLAGS) -run '$(call tests_with,^//go:build chdb)' $(filter-out ./internal/storebench,$(call packages_with,^//go:build chdb))

.tmp/chdb/.done: internal/chdbtest/testdata/libchdb.sha512
	@rm -rf .tmp/chdb && mkdir -p .tmp/chdb
	@cd .tmp/chdb && npm pack --silent @chdb/lib-linux-x64-gnu@26.7.3-stable.1 >/dev/null && sha512sum --check --quiet $(CURDIR)/$< && \
	  tar -xzf *.tgz --strip-components=1 package/libchdb.so && rm *.tgz
	@touch $@

# promtool is taken out of Debian's package, without installing it, so that nobody
# has to be root. Where it is installed already, that one is taken.
PROMTOOL = $(or $(shell command -v promtool),.tmp/prometheus/usr/bin/promtool)

.PHONY: promtool
promtool: $(if $(shell command -v promtool),,.tmp/prometheus/.done) ## what Prometheus says of its files, and when each alert fires
	$(PROMTOOL) check config dashboards/prometheus/prometheus.yml
	$(PROMTOOL) check rules dashboards/prometheus/rules.yml
	$(PROMTOOL) test rules dashboards/prometheus/rules_test.yml

.tmp/prometheus/.done:
	@rm -rf .tmp/prometheus && mkdir -p .tmp/prometheus
	@cd .tmp/prometheus && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } 2>&1 | { grep -v unsandboxed || true; }
	@dpkg -x .tmp/prometheus/prometheus_*.deb .tmp/prometheus && rm .tmp/prometheus/*.deb
	@touch $@

.PHONY: nocgo
nocgo: ## both commands build and know what is missing without a C compiler
	@mkdir -p .tmp
	CGO_ENABLED=0 go build -o .tmp/nocgo/ ./cmd/docket ./cmd/docket-gateway
	CGO_ENABLED=0 go test $(GOTESTFLAGS) ./collector/sql/...

.PHONY: bench
bench: ## every benchmark, with allocations, but for those of bench-store, which take their time
	go test -run '^$$' -bench . -benchmem $(GOTESTFLAGS) $(filter-out ./internal/storebench,$(call packages_with,^func Benchmark))

# Ratios are of medians, in one run.
.PHONY: bench-chain
bench-chain: ## three bindings in process, and a remote one beside a bare gRPC call
	@go test -run '^$$' -bench '^BenchmarkChain3InProcess$$' -benchmem -count $(or $(COUNT),6) ./interceptor
	@go test -run '^$$' -bench '^BenchmarkRemote$$' -benchmem -count $(or $(COUNT),6) ./interceptor/remote | tee /dev/stderr | \
	sort -k3 -n | awk '/BenchmarkRemote\/(bare|local|binding)/ {sub(/-[0-9]+$$/, "", $$1); sub(/.*\//, "", $$1); t[$$1, ++n[$$1]] = $$3} \
	function median(k) {return t[k, int((n[k]+1)/2)]} \
	END {printf "a remote binding adds %.2f of a bare call\n", (median("binding")-median("local"))/median("bare")}'

# Each beside the least that could do the same work, in turns within the same run:
# "ratio" is the median of theirs, and only ratios mean something on a busy machine.
# "backlog" is what was not acknowledged by JetStream when the last event was offered.
.PHONY: bench-emitter
bench-emitter: ## the emitter beside bare writers and publishers, with the backlog (COUNT=1)
	@go test -run '^$$' -bench '^Benchmark(Emit|Seal)$$' -benchmem ./emitter
	@go test -run '^$$' -bench '^Benchmark(Durable|WALToStream|EmitToStream|SendAgain)$$' -benchtime 1x -count $(or $(COUNT),1) ./emitter

# The lake that is asked is made once and kept in the directory for temporary
# files. Each round runs all of it, so that what else the machine does meets all
# alike; what is printed at the end are medians.
.PHONY: bench-store
bench-store: ## ingest, size, SQL, look-ups, verify, backlog, each beside the least that could do it (EVENTS=1000000 COUNT=3)
	@set -e; for round in $$(seq $(or $(COUNT),3)); do \
	  go test -timeout 0 -run '^$$' -bench 'Ingest|Stored|Backlog' -benchtime 1x ./internal/storebench -events $(or $(EVENTS),1000000); \
	  go test -timeout 0 -run '^$$' -bench 'Query|LookUp' -benchtime 20x ./internal/storebench -events $(or $(EVENTS),1000000); \
	  go test -run '^$$' -bench '^BenchmarkVerify$$' -benchtime 3x ./collector/verify; \
	done | tee /dev/stderr | awk -f internal/storebench/summary.awk

# The engine is that of `make clickhouse`, in a process beside. The database that is
# asked is made once and kept, as the lake is. Without cgo there is no DuckDB to link.
.PHONY: bench-clickhouse
bench-clickhouse: export CGO_ENABLED := 0
bench-clickhouse: .tmp/chdb/.done ## the store on ClickHouse: ingest beside bare clickhouse-go, queries, look-ups, size (EVENTS=1000000 COUNT=5 rounds of ingest)
	@{ go test -tags chdb -timeout 0 -run '^$$' -bench '^BenchmarkClickHouseInsert$$' -benchtime $(or $(COUNT),5)x ./internal/storebench; \
	  go test -tags chdb -timeout 0 -run '^$$' -bench '^BenchmarkClickHouse(Query|LookUp|Stored)$$' -benchtime 20x ./internal/storebench -events $(or $(EVENTS),1000000); \
	} | tee /dev/stderr | awk -f internal/storebench/summary.awk

# The lake that is asked is that of bench-store, larger. Latency is from the call of
# Emit to the subscriber, beside a bare subscription in the same run.
.PHONY: bench-api
bench-api: ## first pages, counts, tail latency, the pipeline with subscribers, Flight SQL (EVENTS=5000000)
	go test -timeout 0 -run '^$$' -bench '^BenchmarkAPI$$' -benchtime 20x ./internal/storebench -events $(or $(EVENTS),5000000)
	go test -timeout 0 -run '^$$' -bench '^BenchmarkTail' -benchtime 1x ./internal/storebench
	go test -timeout 0 -run '^$$' -bench '^BenchmarkFlight' -benchtime 5x ./internal/storebench -events $(or $(EVENTS),5000000)

# In process: operations that have been read, then from their events in memory; then
# those of a lake, which is made once, and how much memory that takes.
.PHONY: bench-replay
bench-replay: ## decisions a second and core, in process and from a lake of a million operations (EVENTS=7000000)
	GOMAXPROCS=1 go test -run '^$$' -bench '^(BenchmarkStage|BenchmarkRun)$$' -benchmem ./interceptor/replay
	go test -timeout 0 -run '^$$' -bench '^BenchmarkReplay$$' -benchtime 1x ./internal/storebench -events $(or $(EVENTS),7000000)

# The peers are in a module of their own. The ratios at the end are of medians. Each
# round runs all of them once: so what else the machine does meets all alike, and
# not one of them, as with -count. The test binary is built once.
.PHONY: bench-ocsf
bench-ocsf: ## package ocsf beside encoding/json, goccy and sonic, with ratios (COUNT=6 rounds)
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cd tools/ocsfbench; \
	go test -c -o "$$dir/bench" .; go build -o "$$dir/ratios" ./ratios; \
	for round in $$(seq $(or $(COUNT),6)); do "$$dir/bench" -test.run '^$$' -test.bench . -test.benchmem; done \
		| tee /dev/stderr | "$$dir/ratios"

.PHONY: golden
golden: ## rewrite the golden files; then read the diff
	go test -count=1 $(GOTESTFLAGS) $(call packages_with,flag[.]Bool."update") -update

##### generated code and lint

.PHONY: generate
generate: $(BIN)/buf $(BIN)/protoc-gen-go $(BIN)/protoc-gen-go-grpc $(BIN)/protoc-gen-grpc-gateway $(BIN)/protoc-gen-openapiv2 $(BIN)/openapi $(BIN)/tsapi ## code from .proto, OpenAPI, TypeScript, OCSF catalogs and types, dashboards
	cd schemas/proto && PATH="$(BIN):$$PATH" buf generate
	cd schemas/proto && PATH="$(BIN):$$PATH" buf generate --template buf.gen.audit.yaml
	$(BIN)/openapi <.tmp/openapi/docket.swagger.json >schemas/openapi/docket.json
	$(BIN)/tsapi <schemas/openapi/docket.json >schemas/typescript/src/api.gen.ts
	go generate ./...

# Compares before and after, so that it also works in a tree with changes.
.PHONY: generate-check
generate-check: ## generated files are what their sources make
	@mkdir -p .tmp
	@git ls-files -co --exclude-standard schemas dashboards ocsf | sort | xargs sha256sum >.tmp/before
	@$(MAKE) generate
	@git ls-files -co --exclude-standard schemas dashboards ocsf | sort | xargs sha256sum >.tmp/after
	@diff .tmp/before .tmp/after || { echo "make: generated files were stale; commit what changed" >&2; exit 1; }

.PHONY: lint
lint: $(BIN)/gofumpt $(BIN)/golangci-lint $(BIN)/buf $(BIN)/promlint ## format, vet, golangci-lint, buf, PromQL
	@out=$$($(BIN)/gofumpt -l $$(git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$' | while read -r f; do [ -f "$$f" ] && echo "$$f"; done)); \
	  [ -z "$$out" ] || { echo "not gofumpt-ed:"; echo "$$out"; exit 1; }
	go vet -tags e2e,torture,pyarrow,adbc,node,chdb ./...
	$(BIN)/golangci-lint run ./...
	cd schemas/proto && $(BIN)/buf lint
	$(BIN)/promlint dashboards

# A module of its own, for the libraries of Kubernetes.
.PHONY: manifests
manifests: ## deploy/kubernetes as kustomize builds it, against the schemas of Kubernetes
	cd tools/manifests && go vet ./... && go test -count=1 ./... && go run . ../../deploy/kubernetes/overlays/*

.PHONY: fmt
fmt: $(BIN)/gofumpt ## format the code
	$(BIN)/gofumpt -w $$(git ls-files -co --exclude-standard '*.go' | grep -v '\.pb\.go$$')

$(BIN)/%: tools/go.mod tools/go.sum
	@mkdir -p $(BIN)
	cd tools && go build -o $@ $$(go list -f '{{.ImportPath}}' tool ./... | grep -E '/$*$$')
	@touch $@

$(BIN)/promlint: tools/promlint/main.go
$(BIN)/openapi: tools/openapi/main.go
$(BIN)/tsapi: tools/tsapi/main.go

.PHONY: clean
clean: ## remove what was built; data directories stay
	rm -rf bin .tmp schemas/typescript/dist schemas/typescript/node_modules
