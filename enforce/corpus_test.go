package enforce_test

import (
	"archive/tar"
	"compress/bzip2"
	"errors"
	"flag"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// corpus is what long runs of a fuzz target have come across, as the go command keeps it: one file a case, the value in the
// second line. It is for fuzzing to go on from; an ordinary test run has enough to do with its own cases.
//
// To keep what a run has found: tar -C "$(go env GOCACHE)/fuzz/runclamp/enforce" -c FuzzLaws | bzip2 -9 >testdata/corpus/FuzzLaws.tar.bz2
func corpus(t testing.TB, target string) []string {
	t.Helper()
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing == nil || fuzzing.Value.String() == "" {
		return nil
	}
	f, err := os.Open("testdata/corpus/" + target + ".tar.bz2")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var values []string
	archive := tar.NewReader(bzip2.NewReader(f))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		_, value, _ := strings.Cut(string(text), "\n")
		_, value, _ = strings.Cut(value, "(")
		values = append(values, strings.TrimSuffix(strings.TrimSpace(value), ")"))
	}
	if len(values) == 0 {
		t.Fatalf("the corpus of %s is empty", target)
	}
	return values
}

func seeds(t testing.TB) []uint64 {
	t.Helper()
	var all []uint64
	for _, v := range corpus(t, "FuzzLaws") {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, seed)
	}
	return all
}

func texts(t testing.TB) [][]byte {
	t.Helper()
	var all [][]byte
	for _, v := range corpus(t, "FuzzConfig") {
		text, err := strconv.Unquote(v)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, []byte(text))
	}
	return all
}
