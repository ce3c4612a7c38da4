// The load on a webhook, from a client of Go's standard library as kube-apiserver is one: HTTP/1.1 over TLS 1.3, open
// connections used again, the same headers. A client in Node would take more of the machine than the servers under test.
//
// Arguments: file of the server's authority (PEM). Each line of standard input is a burst:
//
//	URL BODY-FILE CALLERS REQUESTS
//
// It opens a connection for each caller and says "open"; the next line, whatever it says, starts the burst. Then it
// writes the latencies, microseconds, in one line.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Clients of one connection each: all of them are open before a burst, and none is opened in it.
func clients(authorities *x509.CertPool, callers int) []*http.Client {
	all := make([]*http.Client, callers)
	for i := range all {
		all[i] = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: authorities, NextProtos: []string{"http/1.1"}},
			MaxConnsPerHost: 1,
		}}
	}
	return all
}

func ask(c *http.Client, url string, body []byte) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	check(err)
	request.Header.Set("Accept", "application/json, */*")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "kube-apiserver-admission")
	response, err := c.Do(request)
	check(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"patch"`)) {
		check(fmt.Errorf("no patch in the answer: %d %s", response.StatusCode, answer))
	}
}

// Latencies in microseconds.
func burst(callers []*http.Client, url string, body []byte, requests int) []int64 {
	latencies := make([]int64, requests)
	var next atomic.Int64
	inTurn(callers, len(callers), func(c *http.Client) {
		for at := next.Add(1) - 1; at < int64(requests); at = next.Add(1) - 1 {
			begun := time.Now()
			ask(c, url, body)
			latencies[at] = time.Since(begun).Microseconds()
		}
	})
	return latencies
}

// Calls act for each, so many at once.
func inTurn(callers []*http.Client, atOnce int, act func(*http.Client)) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for _, c := range callers {
		places <- struct{}{}
		all.Add(1)
		go func(c *http.Client) {
			defer all.Done()
			act(c)
			<-places
		}(c)
	}
	all.Wait()
}

// How many connections are opened at once, before anything is measured.
const wave = 20

func main() {
	pem, err := os.ReadFile(os.Args[1])
	check(err)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	lines := bufio.NewScanner(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		var url, file string
		var count, requests int
		_, err := fmt.Sscan(lines.Text(), &url, &file, &count, &requests)
		check(err)
		body, err := os.ReadFile(file)
		check(err)
		callers := clients(authorities, count)
		inTurn(callers, wave, func(c *http.Client) { ask(c, url, body) })
		fmt.Fprintln(out, "open")
		check(out.Flush())
		lines.Scan()
		for _, latency := range burst(callers, url, body, requests) {
			fmt.Fprint(out, latency, " ")
		}
		fmt.Fprintln(out)
		check(out.Flush())
		for _, c := range callers {
			c.CloseIdleConnections()
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
