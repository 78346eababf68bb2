package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"runclamp/enforce/strictjson"

	"golang.org/x/sys/unix"
)

// maxState is the most that the delegate's record of a container may have. It holds the whole configuration once more.
const maxState = 16 << 20

// Init is the first process of a container: the one that waits to execute its program, until it does.
type Init struct {
	// PID is as it is called here, whatever namespace the container has. 0: there is none in the delegate's record.
	PID int
	// Start is when it was started, as field 22 of /proc/PID/stat has it: a PID is given out again.
	Start uint64
}

// OfContainer opens the bundle of a container that exists, found in runc's own record <root>/<id>/state.json (libcontainer). id
// must have been validated, or it is a path.
//
// runc keeps the bundle among the annotations, as a label "bundle=PATH", and takes the first of them. A container whose
// annotations bring one of their own would lead it to another config.json, so there must be exactly one.
func OfContainer(root, id string) (*Bundle, Init, error) {
	return ofContainer(root, id, stateName, parseState)
}

// OfCrunContainer does the same for crun, whose record is <root>/<id>/status (src/libcrun/status.c).
func OfCrunContainer(root, id string) (*Bundle, Init, error) {
	return ofContainer(root, id, statusName, parseStatus)
}

// stateName is of runc's record of a container, and statusName of crun's.
const (
	stateName  = "state.json"
	statusName = "status"
)

// Containers are the IDs of those that runc or crun has a record of in a folder.
func Containers(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		for _, name := range []string{stateName, statusName} {
			_, err := os.Lstat(filepath.Join(root, e.Name(), name))
			if err == nil {
				ids = append(ids, e.Name())
				break
			}
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				return nil, err // or a folder that can't be looked into would count as none
			}
		}
	}
	return ids, nil
}

// ErrNoContainer: the delegate has no record of it.
var ErrNoContainer = errors.New("does not exist")

func ofContainer(root, id, name string, parse func([]byte) (string, Init, error)) (*Bundle, Init, error) {
	path := filepath.Join(root, id, name)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, Init{}, fmt.Errorf("container %q %w", id, ErrNoContainer)
	}
	if err != nil {
		return nil, Init{}, fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	data, _, err := readRegular(f, maxState)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, Init{}, err
	}
	at, init, err := parse(data)
	if err != nil {
		return nil, Init{}, fmt.Errorf("%s: %w", path, err)
	}
	b, err := Open(at)
	return b, init, err
}

func parseState(state []byte) (bundle string, init Init, err error) {
	var s struct {
		PID    int    `json:"init_process_pid"`
		Start  uint64 `json:"init_process_start"`
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	// All else in it is long, and the delegate's own business.
	if err := strictjson.DecodeKnown(state, reflect.ValueOf(&s).Elem()); err != nil {
		return "", Init{}, err
	}
	bundle, err = bundleLabel(s.Config.Labels)
	return bundle, Init{s.PID, s.Start}, err
}

// status is what of crun's record is looked at.
type status struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"process-start-time"`
	Bundle string `json:"bundle"`
}

// parseStatus reads it strictly: which of two equal keys crun takes depends on the JSON library that it is built with.
func parseStatus(text []byte) (bundle string, init Init, err error) {
	doc, err := ParseDocument(text, reflect.TypeFor[status]())
	if err != nil {
		return "", Init{}, err
	}
	var s status
	if err := doc.Decode(&s); err != nil {
		return "", Init{}, err
	}
	if !filepath.IsAbs(s.Bundle) {
		return "", Init{}, fmt.Errorf("the bundle %q is not an absolute path", s.Bundle)
	}
	return s.Bundle, Init{s.PID, s.Start}, nil
}

func bundleLabel(labels []string) (string, error) {
	found := ""
	for _, l := range labels {
		path, ok := strings.CutPrefix(l, "bundle=")
		switch {
		case !ok:
		case found != "":
			return "", errors.New(`more than one label "bundle=": an annotation of that name leads to another configuration`)
		case !filepath.IsAbs(path):
			return "", fmt.Errorf("the bundle %q is not an absolute path", path)
		default:
			found = path
		}
	}
	if found == "" {
		return "", errors.New(`no label "bundle="`)
	}
	return found, nil
}
