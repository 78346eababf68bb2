package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxState is the most that the delegate's record of a container may have. It holds the whole configuration once more.
const maxState = 16 << 20

// OfContainer opens the bundle of a container that exists, found in the delegate's own record <root>/<id>/state.json
// (runc, libcontainer). id must have been validated, or it is a path.
//
// The delegate keeps the bundle among the annotations, as a label "bundle=PATH", and takes the first of them. A container
// whose annotations bring one of their own would lead it to another config.json, so there must be exactly one.
func OfContainer(root, id string) (*Bundle, error) {
	path := filepath.Join(root, id, "state.json")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("container %q does not exist", id)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	data, _, err := readRegular(f, maxState)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	at, err := bundleLabel(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return Open(at)
}

func bundleLabel(state []byte) (string, error) {
	var s struct {
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(state, &s); err != nil {
		return "", err
	}
	found := ""
	for _, l := range s.Config.Labels {
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
