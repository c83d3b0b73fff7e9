# Everything a person or CI does with this project is a target here.
# `make help` lists them.

GO       ?= go
MODULE   := github.com/arcboxlabs/arcbox-go
PROGRAMS := arcbox arcboxd arcbox-vm arcbox-net arcbox-routed
# On Linux nothing of ours calls C, and a process without its library takes 2 MiB less.
NATIVE   := $(if $(filter Darwin,$(shell uname -s)),,CGO_ENABLED=0)
# Processes of ours that have nothing to do sleep; see agent/quiet.
QUIET    := -tags quiet -ldflags=-checklinkname=0
GOFILES  := $(shell git ls-files --cached --others --exclude-standard '*.go' 2>/dev/null)

# Packages whose tests run a guest on the software engine in their own process:
# the race detector makes an interpreter twenty times slower and cannot see guest
# memory anyway, so these run without it; everything else runs with it, and with
# -short, which makes three counts smaller there and leaves out nothing. Results with
# another engine are not kept (-count=1): Go does not see that TestMain reads the variable.
VM_PKGS   = $(shell $(GO) list ./... | grep -E '/(hv/soft|hv/board|hv/hvtest|test|cmd/arcbox-vm)(/|$$)')
RACE_PKGS = $(filter-out $(VM_PKGS),$(shell $(GO) list ./...))

export ARCBOX_ASSETS ?= /var/cache/arcbox

.PHONY: help build darwinkit bundle install mac-check uninstall deps assets kernel run boot test check bench soak clean fmt
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build the programs into bin/
	@mkdir -p bin
	$(NATIVE) $(GO) build -trimpath $(QUIET) -o bin/ $(PROGRAMS:%=./cmd/%)
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -trimpath -buildvcs=false -ldflags='-s -w' -o bin/arcbox-guest ./cmd/arcbox-guest

darwinkit: build ## on a Mac: replace bin/arcboxd by one that has the host's news from AppKit
	$(GO) -C agent/power/darwinkit build -mod=mod -trimpath $(QUIET) -o "$(CURDIR)/bin/" ./arcboxd

bundle: ## make build/ArcBox.app for Apple silicon, signed; see scripts/bundle
	@scripts/bundle

install: bundle ## on a Mac: install the app and the agent for this user; see scripts/install
	@scripts/install

mac-check: ## on a Mac: find out what the project takes for true of Macs; writes build/mac-report.md
	@scripts/mac-check

uninstall: ## on a Mac: remove what install has put there; machines stay
	@scripts/install --remove

deps: ## install the Debian packages that building and testing need
	@scripts/deps

assets: build ## make the boot assets that this machine lacks
	@scripts/deps assets
	@bin/arcbox assets fetch

kernel: build ## compile our own kernel (about 12 minutes, once) and make it the default
	@scripts/deps assets kernel
	@bin/arcbox assets fetch --flavour arcbox

run: ## start a machine, show it at work, stop it; KEEP=1 leaves it running
	@scripts/run

boot: assets ## boot a VM with this terminal as its console
	@scripts/boot

test: deps build assets ## run every test
	$(GO) test -race -short $(RACE_PKGS)
	$(GO) test $(VM_PKGS)
	$(GO) test $(QUIET) ./agent/quiet
	$(GO) test -tags macshim ./hv/hvf/...
	CC=clang $(GO) test -race -short -tags macshim ./agent/power/... ./agent/route/vmnet/... ./launchd/... ./ipc/mach/... ./agent
	ARCBOX_TEST_ENGINE=hvf $(GO) test -count=1 -run 'Systems|Exit|Typed|Disk|Leaves' ./test/boot
	ARCBOX_TEST_ENGINE=hvf $(GO) test -count=1 ./test/devices
	ARCBOX_TEST_ENGINE=hvf $(GO) test -count=1 -run AUsersDay ./test/agent

check: ## format, vet, cross-build, house rules, generated files
	@scripts/check

bench: assets ## measure against peers; ONLY=regexp chooses
	$(GO) run $(QUIET) ./bench -only '$(ONLY)' -out build/bench.json

soak: assets ## run the full counts; see docs/soak.md
	@scripts/soak

fmt: ## format the Go files
	gofmt -w $(GOFILES)

clean: ## remove what was built here
	rm -rf bin build
