// Load does work in a container that consists of system calls, and prints how long it took, in nanoseconds: what a seccomp filter
// costs who runs under it.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// calls is how often getpid(2) is called.
	calls = 1_000_000
	// requests is how many are sent to the server, by as many clients at a time.
	requests = 4000
	clients  = 4
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("wanted getpid or http")
	}
	var work func() (time.Duration, error)
	switch args[0] {
	case "getpid":
		work = getpid
	case "http":
		work = serve
	default:
		return fmt.Errorf("%q is neither getpid nor http", args[0])
	}
	took, err := work()
	if err != nil {
		return err
	}
	_, err = fmt.Println(took.Nanoseconds())
	return err
}

// getpid is the cheapest system call there is, so that what is added to it shows.
func getpid() (time.Duration, error) {
	begin := time.Now()
	for range calls {
		// The kernel is asked every time.
		unix.Getpid()
	}
	return time.Since(begin), nil
}

// serve has a server of its own answer its requests, over the container's loopback device.
func serve() (took time.Duration, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") })}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 10 * time.Second}
	failed := make([]error, clients)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for range requests / clients {
				if failed[i] = get(client, "http://"+l.Addr().String()); failed[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	took = time.Since(begin)
	err = errors.Join(append(failed, server.Close())...)
	if end := <-stopped; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return took, err
}

func get(client *http.Client, url string) error {
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return errors.Join(err, r.Body.Close())
}
