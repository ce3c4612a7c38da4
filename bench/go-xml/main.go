// Times encoding/xml on domains, as a peer for `vsmmu rewrite`: each is read into a tree of elements and written again,
// nothing changed (and not byte for byte: comments, prefixes and quotes are Go's own).
//
// Reads "CALLS FILE" lines from standard input, and answers each with the milliseconds that one call took.
package main

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"os"
	"time"
)

type element struct {
	XMLName    xml.Name
	Attributes []xml.Attr `xml:",any,attr"`
	Text       string     `xml:",chardata"`
	Children   []element  `xml:",any"`
}

func roundTrip(text []byte) error {
	var root element
	if err := xml.Unmarshal(text, &root); err != nil {
		return err
	}
	_, err := xml.Marshal(root)
	return err
}

func main() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var calls int
		var file string
		if _, err := fmt.Sscanf(lines.Text(), "%d %s", &calls, &file); err != nil {
			fail(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			fail(err)
		}
		begun := time.Now()
		for range make([]struct{}, calls) {
			if err := roundTrip(text); err != nil {
				fail(err)
			}
		}
		fmt.Println(time.Since(begun).Seconds() * 1000 / float64(calls))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
