# runclamp. `make help` lists the targets.

CONFDIR ?= /etc/runclamp
RUNDIR  ?= /run/runclamp
PREFIX  ?= /usr/local
UNITDIR ?= /etc/systemd/system
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)

# The delegate of the tests, the demo and the benchmark; and the linter.
RUNC_VERSION        := v1.5.2
STATICCHECK_VERSION := v0.8.2
# Counted and not timed: at the end of its time go's fuzzer fails now and then with "context deadline exceeded" and nothing else
# (internal/fuzz, CoordinateFuzzing: a context is done before its children are), on a loaded machine more often.
FUZZ                ?= 50000x
# The laws decide about a whole container at each execution, and FuzzRender runs apparmor_parser, which takes a hundred times as long.
FUZZ_LAWS           ?= 2500x

# $(call build,CONFDIR,RUNDIR): the folders are fixed at link time.
build = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION) -X main.confDir=$(1) -X main.runDir=$(2)"
TOOLS := $(CURDIR)/bin/tools

.DEFAULT_GOAL := build
.PHONY: build test lint unit fuzz e2e e2e-guest kubernetes demo bench soak install uninstall clean help setup lab FORCE

build: bin/runclamp bin/clampctl ## build static bin/runclamp and bin/clampctl

# Always run: go knows better than make what has changed, and CONFDIR may be another.
bin/%: FORCE
	$(call build,$(CONFDIR),$(RUNDIR)) -o $@ ./cmd/$*
FORCE:

test: lint unit fuzz e2e e2e-guest ## all that CI runs; as root it installs what is missing

lint: $(TOOLS)/staticcheck ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	@for module in . integration/e2e integration/kubernetes; do \
		echo "vet, staticcheck, tidy: $$module"; \
		(cd $$module && go vet ./... && $(TOOLS)/staticcheck ./... && go mod tidy -diff) || exit 1; \
	done

unit: $(TOOLS)/runc ## unit and property tests, with the race detector
	@echo "go test -race ./... (what a test leaves out is said)"
	@RUNCLAMP_TEST_RUNC=$(TOOLS)/runc$(addprefix :,$(wildcard /usr/sbin/runc)) CGO_ENABLED=1 go test -race -v -timeout 1h ./... >$(TOOLS)/unit.log 2>&1; status=$$?; \
		test $$status = 0 || grep -vE '^ *(=== |--- PASS)' $(TOOLS)/unit.log; \
		grep -E -A1 '^ *--- SKIP' $(TOOLS)/unit.log; grep -E '^(ok|FAIL)\b' $(TOOLS)/unit.log; exit $$status

fuzz: ## every fuzz target, FUZZ or FUZZ_LAWS executions of each
	@for target in $$(grep -rho --include='*_test.go' 'func Fuzz[A-Za-z0-9]*' . | sed 's/func //' | sort -u); do \
		package=./$$(dirname $$(grep -rl --include='*_test.go' "func $$target(" .)); \
		case $$target in *Laws | FuzzConfig | FuzzIntersect | FuzzRender) executions=$(FUZZ_LAWS);; *) executions=$(FUZZ);; esac; \
		echo "fuzz $$package $$target $$executions"; \
		go test -run '^$$' -fuzz "^$$target$$" -fuzztime $$executions -fuzzminimizetime 100x $$package || exit 1; \
	done

e2e: ## end-to-end tests with real engines; root
	integration/e2e/setup.sh $(CURDIR)/bin/e2e
	cd integration/e2e && RUNCLAMP_E2E_TOOLS=$(CURDIR)/bin/e2e go test -count=1 -timeout 2h .

# The guest has no Go: what runs in it is built here, static. RUN is a regular expression of tests' names.
HOST_ARCH   := $(shell go env GOHOSTARCH)
GUEST_ARCH  ?= $(HOST_ARCH)
GUEST       := $(CURDIR)/bin/guest/$(GUEST_ARCH)
GUEST_GNU   := $(if $(filter arm64,$(GUEST_ARCH)),aarch64,x86_64)-linux-gnu
# The longest first. Docker runs on this machine's architecture only. integration/filters and integration/profiles run here in unit, so the
# guest has them only if it is of another one.
GUEST_JOBS  := $(if $(filter $(HOST_ARCH),$(GUEST_ARCH)),docker.test@/usr/sbin/runc-current+$(CURDIR)/bin/guest/docker.cpio,filters.test@/usr/sbin/runc:/usr/sbin/runc-current profiles.test@/usr/sbin/runc:/usr/sbin/runc-current) \
	proof.test@/usr/sbin/runc guest.test proof.test@/usr/sbin/runc-current proof.test@/usr/bin/crun
RUN         ?= .

e2e-guest: ## tests in a virtual machine whose kernel has AppArmor and cgroup v2; root. GUEST_ARCH=arm64 for another architecture
	integration/guest/setup.sh $(GUEST)/image $(GUEST_ARCH)
	$(if $(findstring docker.test,$(GUEST_JOBS)),integration/guest/docker/setup.sh $(CURDIR)/bin/e2e $(CURDIR)/bin/guest/docker.cpio)
	rm -rf $(GUEST)/programs
	GOARCH=$(GUEST_ARCH) $(call build,/etc/runclamp,/run/runclamp) -o $(GUEST)/programs/ ./cmd/runclamp ./cmd/clampctl ./integration/demo/probe ./integration/guest/attempts ./integration/guest/service ./integration/profiles/program
	cd integration/proof/loosener && GOARCH=$(GUEST_ARCH) $(call build) -o $(GUEST)/programs/delegate .
	$(GUEST_GNU)-objcopy --rename-section .go.buildinfo=.buildinfo $(GUEST)/programs/delegate $(GUEST)/programs/delegate-crun
	GOARCH=$(GUEST_ARCH) CGO_ENABLED=0 go test -c -tags guest -trimpath -ldflags "-s -w" -o $(GUEST)/programs/ ./integration/guest ./integration/guest/docker ./integration/proof ./integration/filters ./integration/profiles
	cp enforce/seccomp/testdata/*.json $(GUEST)/programs
	go build -o $(GUEST)/run ./integration/guest/run
	$(GUEST)/run -arch $(GUEST_ARCH) -image $(GUEST)/image -programs $(GUEST)/programs -tests '$(RUN)' $(GUEST_JOBS) </dev/null

kubernetes: ## runclamp on a real Kubernetes node, with kubectl; root, not part of test (ten minutes to build, once)
	integration/kubernetes/setup.sh $(CURDIR)/bin/kubernetes
	cd integration/kubernetes && RUNCLAMP_KUBERNETES_TOOLS=$(CURDIR)/bin/kubernetes go test -v -count=1 -timeout 20m

# The demo and the benchmark compare runclamp with the runc that it hands over to. Only root's folders will do for either,
# so they are put into one under /var/lib, together with a runclamp that has its configuration there.
LAB := /var/lib/runclamp-lab-$(shell echo $$PPID)

# What the linker has written is in small pieces in memory, and starts slower than what was copied; so runclamp is installed as runc is.
lab: setup $(TOOLS)/runc
	install -d -m 0755 $(LAB) $(LAB)/conf
	install -m 0755 $(TOOLS)/runc $(LAB)/runc
	ln -sfn $(LAB)/runc $(LAB)/conf/delegate
	$(call build,$(LAB)/conf,$(LAB)/run) -o $(LAB)/built ./cmd/runclamp
	install -m 0755 $(LAB)/built $(LAB)/runclamp
	rm $(LAB)/built
	$(call build) -o $(LAB)/probe ./integration/demo/probe
	$(call build) -o $(LAB)/minexec ./integration/bench/minexec
	$(call build) -o $(LAB)/load ./integration/bench/load

demo: lab ## what an attacker can do under Docker's defaults and under runclamp; root
	@trap 'rm -rf $(LAB)' EXIT; go run ./integration/demo -runclamp $(LAB)/runclamp -runc $(LAB)/runc -probe $(LAB)/probe

bench: lab ## bare runc against runclamp; BENCH="-only start -n 80" for less, or more; root
	@trap 'rm -rf $(LAB)' EXIT; go run ./integration/bench -runclamp $(LAB)/runclamp -runc $(LAB)/runc -probe $(LAB)/probe -minexec $(LAB)/minexec -load $(LAB)/load -conf $(LAB)/conf $(BENCH)

soak: lab ## 2,000 containers, and what is left of them; root
	@trap 'rm -rf $(LAB)' EXIT; go run ./integration/soak -runclamp $(LAB)/runclamp -probe $(LAB)/probe

install: build ## into $(PREFIX), with the configuration folder and the systemd unit
	install -d -m 0755 $(DESTDIR)$(CONFDIR) $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin
	install -m 0755 bin/runclamp $(DESTDIR)$(PREFIX)/sbin/runclamp
	install -m 0755 bin/clampctl $(DESTDIR)$(PREFIX)/bin/clampctl
	install -d -m 0755 $(DESTDIR)$(UNITDIR)
	sed 's|/usr/local/bin|$(PREFIX)/bin|' configs/systemd/runclamp-apparmor.service >$(DESTDIR)$(UNITDIR)/runclamp-apparmor.service

uninstall: ## remove the two programs; containers that were made with runclamp can't be started any more
	rm -f $(DESTDIR)$(PREFIX)/sbin/runclamp $(DESTDIR)$(PREFIX)/bin/clampctl $(DESTDIR)$(UNITDIR)/runclamp-apparmor.service

clean: ## remove what was built
	rm -rf bin

setup: ## as root, install what building runc with seccomp needs, and crun
	integration/setup.sh apparmor gcc libseccomp-dev pkg-config crun

# runc is built with its own module versions, and with seccomp, which needs C.
$(TOOLS)/runc: setup
	test "$$(go version -m $@ 2>/dev/null | awk '$$1 == "mod" {print $$3}')" = $(RUNC_VERSION) || \
	GOBIN=$(TOOLS) CGO_ENABLED=1 go install -tags seccomp github.com/opencontainers/runc@$(RUNC_VERSION)

$(TOOLS)/staticcheck:
	GOBIN=$(TOOLS) go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)

help: ## this list
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */  make \1\t/' | expand -t 18
