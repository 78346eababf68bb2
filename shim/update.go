package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"runclamp/bundle"
	"runclamp/enforce"
	"runclamp/enforce/policy"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxResources is the most that the document of an update may have.
const maxResources = 1 << 20

// firstFree is the first descriptor behind the standard streams. An update starts no process that others would be passed to.
const firstFree = 3

// update changes the limits of a container within those that it was made with. They stand in its record: no policy is read, so
// one that can't be read stops no update. A container that has no record is none of ours, and its update is the delegate's business.
func (r Runtime) update(g Global, inv Invocation) error {
	e := r.newEntry(inv)
	c, err := findContainer(inv)
	if err == nil && (c.record == nil || c.record.Resources.Action == policy.Off) {
		return r.handOver(inv.Argv())
	}
	r.judgedBy(c.record, &e)
	e.Delegate = r.to.path
	var text, held []byte
	var readErr error
	if err == nil {
		if text, readErr = r.askedResources(inv); readErr == nil {
			held, err = holdUpdate(inv, c, text, r.Now(), &e)
		}
	}
	if err := r.conclude(g, e, errors.Join(err, readErr)); err != nil {
		return err
	}
	if e.Mode == policy.ModeAudit {
		// As it was asked. But what was read of standard input is gone from there.
		if path, _ := inv.Value("resources"); path != "-" || text == nil {
			return errors.Join(r.to.exec(inv.Argv(), r.Env), readErr)
		}
		held = text
	}
	path, err := handOver("resources", held, firstFree)
	if err != nil {
		return err
	}
	return r.to.exec(inv.Without(resourceFlags()...).With("resources", path).Argv(), r.Env)
}

// holdUpdate decides about an update and gives the document to hand over.
func holdUpdate(inv Invocation, c container, text []byte, now time.Time, e *entry) ([]byte, error) {
	doc, err := bundle.ParseDocument(text, reflect.TypeFor[specs.LinuxResources]())
	if err != nil {
		return nil, fmt.Errorf("the resources: %w", err)
	}
	var asked *specs.LinuxResources
	if err := doc.Decode(&asked); err != nil {
		return nil, fmt.Errorf("the resources: %w", err)
	}
	if asked == nil {
		return nil, errors.New("the resources: they are null")
	}
	var own *specs.LinuxResources
	if linux := c.config.Spec.Linux; linux != nil {
		own = linux.Resources
	}
	_, l3 := inv.Value("l3-cache-schema")
	_, mb := inv.Value("mem-bw-schema")
	d := enforce.DecideUpdate(c.record.Resources, own, enforce.Update{Resources: asked, IntelRdt: l3 || mb}, now)
	e.Verdict, e.Findings = d.Verdict, append(e.Findings, d.Findings...)
	if d.Verdict == enforce.Refused {
		return nil, refusedError(d.Refusal(c.record.Source))
	}
	held, changes, err := doc.Apply(d.Edits)
	if err != nil {
		return nil, fmt.Errorf("holding the resources to the container's limits: %w", err)
	}
	e.changes = changes
	return held, nil
}

// askedResources are the document that --resources names, or what runc makes of the flags, which it does not read if there is
// one (update.go).
func (r Runtime) askedResources(inv Invocation) ([]byte, error) {
	path, ok := inv.Value("resources")
	if !ok {
		asked, err := flaggedResources(inv)
		if err != nil {
			return nil, err
		}
		return json.Marshal(asked)
	}
	if path == "-" {
		return readResources(r.Stdin, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the resources: %w", err)
	}
	text, err := readResources(f, path)
	return text, errors.Join(err, f.Close())
}

func readResources(from io.Reader, name string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxResources+1))
	if err != nil {
		return nil, fmt.Errorf("the resources: %w", err)
	}
	if len(text) > maxResources {
		return nil, fmt.Errorf("the resources: %s is larger than %d MiB", name, maxResources>>20)
	}
	return text, nil
}

// resourceFlags are those that --resources takes the place of.
func resourceFlags() []string {
	return []string{
		"blkio-weight", "cpu-period", "cpu-quota", "cpu-share", "cpu-rt-period", "cpu-rt-runtime", "cpu-burst", "cpu-idle", "cpuset-cpus", "cpuset-mems",
		"kernel-memory", "kernel-memory-tcp", "memory", "memory-reservation", "memory-swap", "pids-limit",
	}
}

// flaggedResources are what the flags say. --kernel-memory says nothing: no runc heeds it (1.0-rc94 on).
func flaggedResources(inv Invocation) (*specs.LinuxResources, error) {
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{}, CPU: &specs.LinuxCPU{}, BlockIO: &specs.LinuxBlockIO{}, Pids: &specs.LinuxPids{}}
	r.CPU.Cpus, _ = inv.Value("cpuset-cpus")
	r.CPU.Mems, _ = inv.Value("cpuset-mems")
	for flag, to := range map[string]**uint64{
		"cpu-burst": &r.CPU.Burst, "cpu-period": &r.CPU.Period, "cpu-rt-period": &r.CPU.RealtimePeriod, "cpu-share": &r.CPU.Shares,
	} {
		if err := flagged(inv, flag, to, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }); err != nil {
			return nil, err
		}
	}
	number := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	for flag, to := range map[string]**int64{
		"cpu-quota": &r.CPU.Quota, "cpu-rt-runtime": &r.CPU.RealtimeRuntime, "cpu-idle": &r.CPU.Idle, "pids-limit": &r.Pids.Limit,
	} {
		if err := flagged(inv, flag, to, number); err != nil {
			return nil, err
		}
	}
	for flag, to := range map[string]**int64{
		"memory": &r.Memory.Limit, "memory-swap": &r.Memory.Swap, "memory-reservation": &r.Memory.Reservation,
		"kernel-memory-tcp": &r.Memory.KernelTCP,
	} {
		if err := flagged(inv, flag, to, bytesOf); err != nil {
			return nil, err
		}
	}
	if r.Pids.Limit == nil {
		r.Pids = nil // crun wants a limit in it
	}
	var weight *uint64
	if err := flagged(inv, "blkio-weight", &weight, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 16) }); err != nil {
		return nil, err
	}
	if weight != nil && *weight != 0 {
		w := uint16(*weight)
		r.BlockIO.Weight = &w
	}
	return r, nil
}

func flagged[T any](inv Invocation, name string, to **T, parse func(string) (T, error)) error {
	text, ok := inv.Value(name)
	if !ok {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("--%s: %w", name, err)
	}
	*to = &v
	return nil
}

// bytesOf reads bytes as runc does, which takes 64m, 64MB and 64MiB for the same (docker/go-units, RAMInBytes), and -1 for
// none. It takes no fractions.
func bytesOf(text string) (int64, error) {
	if text == "-1" {
		return -1, nil
	}
	at := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if at < 0 {
		at = len(text)
	}
	unit := strings.ToLower(strings.TrimPrefix(text[at:], " "))
	shift := 0
	if unit != "" && unit != "b" {
		i := strings.IndexByte("kmgtp", unit[0])
		if i < 0 || unit[1:] != "" && unit[1:] != "b" && unit[1:] != "ib" {
			return 0, fmt.Errorf("%q is no size: give bytes, or a number with k, m, g, t or p", text)
		}
		shift = 10 * (i + 1)
	}
	n, err := strconv.ParseInt(text[:at], 10, 64)
	if err != nil || n > (1<<63-1)>>shift {
		return 0, fmt.Errorf("%q is no size: give bytes, or a number with k, m, g, t or p", text)
	}
	return n << shift, nil
}
