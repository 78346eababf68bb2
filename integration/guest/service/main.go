// service is a small HTTP service, the example of docs/apparmor.md: it serves the files of /srv, and keeps a log of what was asked
// for in /var/lib/service.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: service ADDRESS:PORT")
	}
	asked, err := os.OpenFile("/var/lib/service/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	files := http.FileServer(http.Dir("/srv"))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := fmt.Fprintln(asked, r.URL.Path); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		files.ServeHTTP(w, r)
	})
	// What a service has no use for.
	http.HandleFunc("/shadow", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "/etc/shadow") })
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
