package proof

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

func parseStatus(text string) (Status, error) {
	var s Status
	found := 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		var err error
		found++
		switch key {
		case "Uid":
			s.UIDs, err = four(fields)
		case "Gid":
			s.GIDs, err = four(fields)
		case "Groups":
			s.Groups, err = numbers(fields)
		case "CapInh":
			s.Inheritable, err = hexadecimal(fields)
		case "CapPrm":
			s.Permitted, err = hexadecimal(fields)
		case "CapEff":
			s.Effective, err = hexadecimal(fields)
		case "CapBnd":
			s.Bounding, err = hexadecimal(fields)
		case "CapAmb":
			s.Ambient, err = hexadecimal(fields)
		case "NoNewPrivs":
			s.NoNewPrivs = len(fields) == 1 && fields[0] == "1"
		case "Seccomp":
			if len(fields) != 1 {
				return s, fmt.Errorf("status: %q", line)
			}
			s.Seccomp, err = strconv.Atoi(fields[0])
		default:
			found--
		}
		if err != nil {
			return s, fmt.Errorf("status: %q: %w", strings.TrimSpace(line), err)
		}
	}
	if found != 10 {
		return s, fmt.Errorf("status: %d of the 10 lines that are looked for", found)
	}
	return s, nil
}

func numbers(fields []string) ([]uint32, error) {
	var ns []uint32
	for _, f := range fields {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return nil, err
		}
		ns = append(ns, uint32(n))
	}
	return ns, nil
}

func four(fields []string) (ids [4]uint32, err error) {
	ns, err := numbers(fields)
	if err == nil && len(ns) != len(ids) {
		err = fmt.Errorf("%d numbers, not %d", len(ns), len(ids))
	}
	copy(ids[:], ns)
	return ids, err
}

func hexadecimal(fields []string) (uint64, error) {
	if len(fields) != 1 {
		return 0, errors.New("not one value")
	}
	return strconv.ParseUint(fields[0], 16, 64)
}

// life is how far a process has got.
type life int

const (
	alive life = iota
	// headless: its first thread has ended, and others go on.
	headless
	// over: it has ended, and at the most its status is waited for.
	over
)

// startOf is when a process was started, in clock ticks after the boot, and whether it has ended: fields 22, 3 and 20 (the number of
// threads) of /proc/PID/stat. The name before them, in brackets, may have anything in it.
func startOf(stat string) (start uint64, l life, err error) {
	name := strings.LastIndex(stat, ")")
	fields := strings.Fields(stat[name+1:])
	if name < 0 || len(fields) < 20 {
		return 0, alive, fmt.Errorf("stat: %q", stat)
	}
	threads, err := strconv.Atoi(fields[20-3])
	start, err2 := strconv.ParseUint(fields[22-3], 10, 64)
	switch {
	case fields[0] == "X", fields[0] == "Z" && threads <= 1:
		l = over
	case fields[0] == "Z":
		l = headless
	}
	return start, l, errors.Join(err, err2)
}

// ParseMounts reads a mountinfo (proc_pid_mountinfo(5)).
func ParseMounts(text string) ([]Mount, error) {
	ms := make([]Mount, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		// Other spaces than this one may be in a path, as they are.
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
		sep := 6
		for sep < len(f) && f[sep] != "-" {
			sep++
		}
		if len(f) < sep+3 {
			return nil, fmt.Errorf("mountinfo: %q", line)
		}
		id, err := strconv.Atoi(f[0])
		parent, err2 := strconv.Atoi(f[1])
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("mountinfo: %q: %w", line, err)
		}
		ms = append(ms, Mount{
			ID: id, Parent: parent, Device: f[2], Root: unescape(f[3]), At: unescape(f[4]), Options: strings.Split(f[5], ","),
			FSType: unescape(f[sep+1]), Source: unescape(f[sep+2]),
		})
	}
	return ms, nil
}

// unescape: the kernel writes space, tab, newline and backslash as \ and three octal digits.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func parseLimits(text string) (map[string]Limit, error) {
	names := map[string]string{
		"Max cpu time": "RLIMIT_CPU", "Max file size": "RLIMIT_FSIZE", "Max data size": "RLIMIT_DATA", "Max stack size": "RLIMIT_STACK",
		"Max core file size": "RLIMIT_CORE", "Max resident set": "RLIMIT_RSS", "Max processes": "RLIMIT_NPROC", "Max open files": "RLIMIT_NOFILE",
		"Max locked memory": "RLIMIT_MEMLOCK", "Max address space": "RLIMIT_AS", "Max file locks": "RLIMIT_LOCKS",
		"Max pending signals": "RLIMIT_SIGPENDING", "Max msgqueue size": "RLIMIT_MSGQUEUE", "Max nice priority": "RLIMIT_NICE",
		"Max realtime priority": "RLIMIT_RTPRIO", "Max realtime timeout": "RLIMIT_RTTIME",
	}
	limits := map[string]Limit{}
	for line := range strings.Lines(text) {
		// The name is 25 bytes wide (fs/proc/base.c, proc_pid_limits).
		const width = 25
		if len(line) < width {
			return nil, fmt.Errorf("limits: %q", line)
		}
		name, ok := names[strings.TrimSpace(line[:width])]
		if !ok {
			continue
		}
		f := strings.Fields(line[width:])
		if len(f) < 2 {
			return nil, fmt.Errorf("limits: %q", line)
		}
		soft, err := limit(f[0])
		hard, err2 := limit(f[1])
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("limits: %q: %w", line, err)
		}
		limits[name] = Limit{soft, hard}
	}
	return limits, nil
}

func limit(s string) (uint64, error) {
	if s == "unlimited" {
		return math.MaxUint64, nil // RLIM_INFINITY
	}
	return strconv.ParseUint(s, 10, 64)
}

// IDMap is a line of /proc/PID/uid_map (user_namespaces(7)).
type IDMap struct{ Inside, Outside, Count uint64 }

func parseIDMap(text string) ([]IDMap, error) {
	var m []IDMap
	for line := range strings.Lines(text) {
		ns, err := numbers(strings.Fields(line))
		if err != nil || len(ns) != 3 {
			return nil, fmt.Errorf("a map of IDs: %q", line)
		}
		m = append(m, IDMap{uint64(ns[0]), uint64(ns[1]), uint64(ns[2])})
	}
	return m, nil
}

// unmapped is what no user and no group has (setreuid(2) takes it for none).
const unmapped = math.MaxUint32

// inside is what an ID is called in a user namespace.
func inside(m []IDMap, id uint32) uint32 {
	for _, r := range m {
		if i := uint64(id); i >= r.Outside && i-r.Outside < r.Count {
			return uint32(r.Inside + i - r.Outside)
		}
	}
	return unmapped
}
