package decisionlog

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz"
)

// A record is made on the request's own goroutine where the request is large: one
// whose time grew with the square of its length would be a way to stop the gate.
func TestTimeOfARecordGrowsNoFasterThanItsPath(t *testing.T) {
	for name, parameter := range map[string]func(i int) string{
		"Names":        func(i int) string { return fmt.Sprintf("%x", i) },
		"Escaped":      func(i int) string { return fmt.Sprintf("%%61%x=%%3F", i) },
		"SecretNames":  func(i int) string { return fmt.Sprintf("jwt%x=%08d", i, i) },
		"SecretValues": func(i int) string { return fmt.Sprintf("key=%08d", i) },
		"Tokens":       func(int) string { return "eyJ..aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		"Matrix":       func(i int) string { return fmt.Sprintf(";sid=%08d", i) },
	} {
		t.Run(name, func(t *testing.T) {
			took := func(length int) time.Duration {
				var b strings.Builder
				for i := 0; b.Len() < length; i++ {
					b.WriteString(parameter(i) + "&")
				}
				r, o := browsed()
				r.Path = "/a?" + b.String()
				if name == "Matrix" {
					r.Path = "/a" + b.String()
				}
				for i := range 50 {
					r.Headers = append(r.Headers, authz.Header{Name: fmt.Sprint("y-", i), Value: strings.Repeat("a", 100)})
				}
				c, e, least := &constant{}, &encoder{}, time.Hour
				for range 5 {
					at := time.Now()
					e.encode(c, &shared{}, 1, r, o, 0)
					least = min(least, time.Since(at))
				}
				return least
			}
			// The machine may be busy with other tests for one of the two.
			var few, many time.Duration
			for range 10 {
				if few, many = took(8<<10), took(64<<10); many < 24*few { // of eight times the length
					return
				}
			}
			t.Errorf("8 KiB take %v, 64 KiB %v", few, many)
		})
	}
}

// A query of few parameters is taken apart by another way than one of many: both
// say what policy was given.
func TestQueriesAreRecordedAsPolicyReadsThem(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	parts := []string{"", "a", "b=", "=c", "a=1", "a=2", "b=x=y", "d=z", "=", "ab=1", "e=%41", "f=a+b"}
	for range 5000 {
		list := make([]string, rng.IntN(3*maxSearched))
		for i := range list {
			list[i] = parts[rng.IntN(len(parts)-2*rng.IntN(2))]
		}
		query := strings.Join(list, "&")
		want, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		e := encoder{}
		e.parsedQuery(&authz.Request{Path: "/?" + query})
		got := url.Values{}
		if err := json.Unmarshal([]byte("{"+string(e.b)+"}"), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is recorded as %s, policy has %v: %v", query, e.b, want, err)
		}
	}
}

// Who reads records looks through the names of what is masked.
func TestManySecretParametersAreNamedTogether(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{maxNamed: maxNamed, maxNamed + 1: maxNamed + 1, 1000: maxNamed + 1} {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "key%d_token=1&", i)
		}
		e := encoder{}
		e.parsedQuery(&authz.Request{Path: "/?" + b.String()})
		var masked []string
		if err := json.Unmarshal([]byte("["+string(e.masked)+"]"), &masked); err != nil {
			t.Fatal(err)
		}
		if last := masked[len(masked)-1]; len(masked) != want || (last == queryPointer) != (n > maxNamed) {
			t.Errorf("of %d parameters %d are named, the last one %s", n, len(masked), last)
		}
	}
}
