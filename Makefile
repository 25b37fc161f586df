# Two commands do everything: `make run` (the demo) and `make test` (all checks).
SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local
export CGO_ENABLED ?= 1

# Pinned in a module of their own and built once: go tool links them anew otherwise.
OPA         := .tools/opa
STATICCHECK := .tools/staticcheck
RACE  ?= -race
ONLY  ?=

.PHONY: help run build envoy test checks policy-test conformance unit bench soak fmt clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build envoy ## the demo: Envoy, gate, three upstreams, state under .state/
	@exec bin/gate dev -policy policies

build: ## bin/gate
	@mkdir -p bin && go build -o bin/gate ./cmd/gate

envoy: ## the pinned Envoy, into .tools/
	@bash envoy/install.sh

test: ## everything: installs what is missing, then every check and test
	@bash test/install.sh
	@$(MAKE) --no-print-directory checks policy-test conformance unit

$(OPA): test/tools/go.mod
	@mkdir -p .tools && go build -modfile=test/tools/go.mod -o $@ github.com/open-policy-agent/opa

$(STATICCHECK): test/tools/go.mod
	@mkdir -p .tools && go build -modfile=test/tools/go.mod -o $@ honnef.co/go/tools/cmd/staticcheck

checks: $(STATICCHECK) ## gofmt, vet, staticcheck, tidy
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-ed (run make fmt):"; echo "$$out"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	go -C test/deploy vet ./...
	$(STATICCHECK) ./...

# Named one by one: with --bundle, opa files coverage under doubled names.
POLICIES = policies/data.yaml $(wildcard policies/*.rego policies/lib/*.rego)
IMPORTED = bundles/ppl/rego/ppl.rego bundles/ppl/rego/ppl_test.rego policies/lib/address.rego policies/lib/expiry.rego

policy-test: $(OPA) ## opa fmt, check --strict, tests, of which every line of a rule has one
	$(OPA) fmt --diff --fail policies/*.rego policies/lib bundles/ppl/rego
	$(OPA) check --strict --schema policies/schema -b policies --ignore testdata
	$(OPA) check --strict --schema policies/schema $(IMPORTED)
	@echo '$(OPA) test --threshold 100'; out=$$($(OPA) test --threshold 100 --timeout 60s $(POLICIES)) || \
	  { echo "$$out" | grep -v '^ *[][{}"]'; echo "gate policy test -coverage policies says which tests and lines"; exit 1; }
	$(OPA) test $(IMPORTED)

conformance: ## says which of OPA's conformance cases are left to OPA's evaluator
	@go test -count=1 -run '^TestConformanceWithOPA$$' -v ./authz/engine/machine | grep ' cases'

unit: ## go test ./... with the race detector, and what deploy/ promises
	go test $(RACE) -timeout 20m $$(go list ./... | grep -v /test/)
	go test -timeout 10m ./bundles/replay ./bundles/archive # 100,000 records, bundles of a gigabyte: too much for the race detector
	go test $(RACE) -timeout 25m -p 1 ./test/... # each of these fills two cores by itself
	go -C test/deploy test -timeout 10m ./...

bench: ## ratios against stock parts; ONLY=check for one area
	@go run ./test/bench $(if $(ONLY),-only $(ONLY))

soak: ## the long runs of which make test runs a minute
	go test -run Soak -timeout 60m -p 1 -v ./test/soak ./test/streams ./session/demo ./authz/extauthz/wire -soak

fmt: $(OPA) ## gofmt and opa fmt in place
	gofmt -w $$(git ls-files '*.go')
	$(OPA) fmt --write policies/*.rego policies/lib

clean: ## build outputs, not state
	rm -rf bin out
