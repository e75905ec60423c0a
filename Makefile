# make demo and make test are all that a fresh Debian machine with Go and root
# needs: they install what they use.

.PHONY: build deps test lint demo bench generate clean help
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/appliance
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/appliance ./cmd/appliance

deps: ## install the Debian packages that tests use
	@.ci/deps

test: deps ## run every test, as root where it is needed
	@.ci/test

lint: ## gofmt, vet, staticcheck, generated code up to date
	@.ci/lint

demo: build ## a client, a router, one node and its backends, with real traffic
	bin/appliance demo

bench: ## run every benchmark scenario (installs its peers)
	@.ci/deps bench
	go run ./bench/cmd/bench -all

generate: ## rebuild the XDP objects (needs clang-14 and libbpf-dev: make deps)
	go generate ./...

clean: ## remove what was built
	rm -rf bin out
