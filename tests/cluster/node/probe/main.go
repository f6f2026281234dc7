// What pods of the node's own tests run, the pause container among them: one static binary, an image without anything else.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const patience = 5 * time.Second

var commands = map[string]func(arguments []string) error{
	"pause":  pause,  // until it is told to end
	"serve":  serve,  // PORT TEXT: answer each HTTP request with the text
	"api":    api,    // DIRECTORY URL: ask as the service account of the directory, and print the answer
	"get":    get,    // URL: print the answer
	"lookup": lookup, // NAME...: print its addresses, a line each
	"cat":    cat,    // FILE...
	"write":  write,  // FILE TEXT
}

func main() {
	command, known := commands[name(os.Args[1:])]
	if !known {
		fmt.Fprintf(os.Stderr, "probe: no such command: %q\n", os.Args[1:])
		os.Exit(2)
	}
	if err := command(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func name(arguments []string) string {
	if len(arguments) == 0 {
		return ""
	}
	return arguments[0]
}

func pause([]string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	return nil
}

func serve(arguments []string) error {
	go func() { _ = pause(nil); os.Exit(0) }()
	return http.ListenAndServe(":"+arguments[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Method, r.URL)
		fmt.Fprintln(w, arguments[1])
	}))
}

func get(arguments []string) error {
	request, err := http.NewRequest(http.MethodGet, arguments[0], nil)
	if err != nil {
		return err
	}
	return print(&http.Client{Timeout: patience}, request)
}

func api(arguments []string) error {
	token, err := os.ReadFile(filepath.Join(arguments[0], "token"))
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(filepath.Join(arguments[0], "ca.crt"))
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, arguments[1], nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	return print(&http.Client{Timeout: patience, Transport: transport}, request)
}

func print(client *http.Client, request *http.Request) error {
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func lookup(arguments []string) error {
	var failed error
	for _, name := range arguments {
		addresses, err := net.LookupHost(name)
		failed = errors.Join(failed, err)
		for _, address := range addresses {
			fmt.Println(address)
		}
	}
	return failed
}

func cat(arguments []string) error {
	for _, file := range arguments {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		os.Stdout.Write(content)
	}
	return nil
}

func write(arguments []string) error {
	if err := os.MkdirAll(filepath.Dir(arguments[0]), 0o755); err != nil {
		return err
	}
	return os.WriteFile(arguments[0], []byte(arguments[1]), 0o644)
}
