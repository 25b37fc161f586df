package decisionlog

import (
	"math"
	"strconv"

	"github.com/neosc/gate/authz"
)

// result writes a decision under the names that policies give it.
func (e *encoder) result(d *authz.Decision) {
	e.b = append(e.b, `{"allowed":`...)
	e.b = strconv.AppendBool(e.b, d.Allowed)
	e.b = append(e.b, `,"reasons":`...)
	e.texts(d.Reasons, "/result/reasons")
	if d.Status != 0 {
		e.b = append(e.b, `,"http_status":`...)
		e.b = strconv.AppendInt(e.b, int64(d.Status), 10)
	}
	e.resultHeaders("headers", d.Headers)
	e.resultTexts("request_headers_to_remove", d.RemoveRequestHeaders)
	e.resultHeaders("response_headers_to_add", d.ResponseHeaders)
	if d.Body != "" {
		e.b = append(e.b, `,"body":`...)
		e.sent(d.Body, maxPath, "/result/body")
	}
	e.resultQuery(d.QuerySet)
	e.resultTexts("query_parameters_to_remove", d.QueryRemove)
	if len(d.Metadata) > 0 {
		e.b = append(e.b, `,"dynamic_metadata":`...)
		e.value(d.Metadata, "/result/dynamic_metadata", 0)
	}
	e.charges(d.Charges)
	if !d.StreamUntil.IsZero() {
		e.b = append(e.b, `,"stream_until":`...)
		e.instant(d.StreamUntil)
	}
	if d.Explain {
		e.b = append(e.b, `,"explain":true`...)
	}
	e.b = append(e.b, '}')
}

func (e *encoder) resultTexts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	e.b = append(append(append(e.b, `,"`...), name...), `":`...)
	e.texts(list, "/result/"+name)
}

// resultHeaders writes names to values, or lists of values.
func (e *encoder) resultHeaders(name string, hs []authz.Header) {
	if len(hs) == 0 {
		return
	}
	pointer := "/result/" + name
	e.b = append(append(append(e.b, `,"`...), name...), `":{`...)
	for i := range hs {
		if headersBefore(hs[:i], hs[i].Name) {
			continue
		}
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.sent(hs[i].Name, maxShort, pointer)
		e.b = append(e.b, ':')
		if e.secretName(hs[i].Name) {
			e.masked = addPointer(e.masked, pointer, hs[i].Name)
			e.b = append(e.b, `"`+authz.Masked+`"`...)
			continue
		}
		several := headersBefore(hs[i+1:], hs[i].Name)
		if several {
			e.b = append(e.b, '[')
		}
		e.headerValue(hs[i], pointer)
		if several {
			for _, more := range hs[i+1:] {
				if more.Name == hs[i].Name {
					e.b = append(e.b, ',')
					e.headerValue(more, pointer)
				}
			}
			e.b = append(e.b, ']')
		}
	}
	e.b = append(e.b, '}')
}

// headerValue writes one, an address without its query.
func (e *encoder) headerValue(h authz.Header, pointer string) {
	if authz.AddressHeader(h.Name) {
		if address := authz.MaskForeign(h.Value); address != h.Value {
			e.masked = addPointer(e.masked, pointer, h.Name)
			h.Value = address
		}
	}
	e.sent(h.Value, maxValue, pointer)
}

func headersBefore(hs []authz.Header, name string) bool {
	for i := range hs {
		if hs[i].Name == name {
			return true
		}
	}
	return false
}

func (e *encoder) resultQuery(ps []authz.QueryParameter) {
	if len(ps) == 0 {
		return
	}
	const pointer = "/result/query_parameters_to_set"
	hs := make([]authz.Header, len(ps))
	for i, p := range ps {
		hs[i] = authz.Header(p)
		if authz.SecretParameter(p.Name) {
			hs[i].Value = authz.Masked
			e.masked = addPointer(e.masked, pointer, p.Name)
		}
	}
	e.resultHeaders("query_parameters_to_set", hs)
}

func (e *encoder) charges(list []authz.Charge) {
	if len(list) == 0 {
		return
	}
	e.b = append(e.b, `,"rate_limits":[`...)
	for i := range list {
		c := &list[i]
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.b = append(e.b, `{"name":`...)
		e.sent(c.Name, 256, "/result/rate_limits")
		e.b = append(e.b, `,"key":`...)
		e.sent(c.Key, 256, "/result/rate_limits")
		e.b = append(e.b, `,"requests_per_second":`...)
		if c.Rate == math.Trunc(c.Rate) && c.Rate < 1e9 {
			e.b = strconv.AppendInt(e.b, int64(c.Rate), 10)
		} else {
			e.b = strconv.AppendFloat(e.b, c.Rate, 'g', -1, 64)
		}
		e.b = append(e.b, `,"burst":`...)
		e.b = strconv.AppendInt(e.b, int64(c.Burst), 10)
		e.b = append(e.b, `,"cost":`...)
		e.b = strconv.AppendInt(e.b, int64(c.Cost), 10)
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, ']')
}
