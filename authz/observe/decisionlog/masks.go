package decisionlog

import "strings"

// copied says where a record has a value of the input or the result besides: who
// hides it there has it hidden here.
var copied = []struct{ from, in, name string }{
	{"/input/session/user/id", "custom", "user"},
	{"/input/session/user/email", "custom", "email"},
	{"/input/attributes/request/http/id", "custom", "request_id"},
	{"/input/attributes/source/address/socketAddress/address", "", "requested_by"},
	{"/input/route/name", "custom", "route"},
	{"/result/reasons", "custom", "reasons"},
	{"/result/rate_limits", "custom", "limit"},
}

// hideCopies takes the copies of what the policy's masks have hidden out of a
// record.
func hideCopies(record map[string]any) {
	for _, list := range []string{"erased", "masked"} {
		pointers, _ := record[list].([]any)
		for _, x := range pointers {
			p, _ := x.(string)
			for _, c := range copied {
				// What lies in a limit, such as its key, says whose it is.
				if p == c.from || strings.HasPrefix(c.from, p+"/") || strings.HasPrefix(p, c.from+"/") {
					from := record
					if c.in != "" {
						from, _ = record[c.in].(map[string]any)
					}
					delete(from, c.name)
				}
			}
		}
	}
}
