// The delegate of the tests: it tells what it was handed, and does nothing.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// mark is what crun has in it, and how it ends in C. One test takes this program for crun.
const mark = "https://github.com/containers/crun/issues\x00"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--bugs" {
		fmt.Println(mark)
	}
	told := struct {
		Args        []string
		Env         []string
		Descriptors []string
		Process     string
		Config      string
		Resources   string
	}{Args: os.Args[1:], Env: os.Environ()}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.Contains(target, "/proc/") && !strings.HasPrefix(target, "anon_inode:") {
			told.Descriptors = append(told.Descriptors, e.Name()+" "+target)
		}
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	for _, a := range os.Args {
		if path, ok := strings.CutPrefix(a, "--process="); ok {
			told.Process = read(path)
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, err = f.WriteString("x")
				told.Process += fmt.Sprintf("; written: %v", err == nil)
			}
		}
		if path, ok := strings.CutPrefix(a, "--resources="); ok {
			if path == "-" {
				path = "/proc/self/fd/0"
			}
			told.Resources = read(path)
			if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
				_, err = f.WriteString("x")
				told.Resources += fmt.Sprintf("; written: %v", err == nil)
			}
		}
		if path, ok := strings.CutPrefix(a, "--bundle="); ok {
			told.Config = read(path + "/config.json")
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		panic(err)
	}
}
