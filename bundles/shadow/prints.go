package shadow

import (
	"encoding/json"
	"hash/maphash"
	"math"

	"github.com/neosc/gate/authz"
)

// prints makes fingerprints of decisions: to keep what a decision says for later
// would cost its request several times as much. Two that say the same have the
// same one, in whatever order their headers come; two that do not have another,
// but for one in 2⁶⁴.
type prints struct{ seed maphash.Seed }

func newPrints() prints { return prints{maphash.MakeSeed()} }

// failed is the fingerprint of no decision.
const failed = 1

// Salts keep what is in one list from being taken for what is in another.
const (
	saltReason uint64 = iota + 1
	saltHeader
	saltResponse
	saltRemove
	saltBody
	saltQuery
	saltQueryRemove
	saltCharge
	saltStream
	saltMetadata
)

func mix(a, b uint64) uint64 {
	a ^= b + 0x9e3779b97f4a7c15 + a<<6 + a>>2
	a *= 0xff51afd7ed558ccd
	return a ^ a>>33
}

func (p *prints) text(salt uint64, s string) uint64 { return mix(salt, maphash.String(p.seed, s)) }

func (p *prints) pair(salt uint64, a, b string) uint64 { return mix(p.text(salt, a), p.text(salt, b)) }

func (p *prints) of(d *authz.Decision) uint64 {
	h := uint64(d.Status)<<2 | 3
	if d.Allowed {
		h ^= 1 << 40
	}
	if d.Explain {
		h ^= 1 << 41
	}
	// Sums: what comes in another order says the same.
	for i := range d.Reasons {
		h += p.text(saltReason, d.Reasons[i])
	}
	for i := range d.Headers {
		h += p.pair(saltHeader, d.Headers[i].Name, d.Headers[i].Value)
	}
	for i := range d.ResponseHeaders {
		h += p.pair(saltResponse, d.ResponseHeaders[i].Name, d.ResponseHeaders[i].Value)
	}
	for i := range d.RemoveRequestHeaders {
		h += p.text(saltRemove, d.RemoveRequestHeaders[i])
	}
	for i := range d.QueryRemove {
		h += p.text(saltQueryRemove, d.QueryRemove[i])
	}
	// Chains: their order counts.
	for i := range d.QuerySet {
		h = mix(h, p.pair(saltQuery, d.QuerySet[i].Name, d.QuerySet[i].Value))
	}
	for i := range d.Charges {
		c := &d.Charges[i]
		h = mix(h, p.pair(saltCharge, c.Name, c.Key))
		h = mix(h, math.Float64bits(c.Rate))
		h = mix(h, uint64(c.Burst)<<32^uint64(c.Cost))
	}
	if d.Body != "" {
		h = mix(h, p.text(saltBody, d.Body))
	}
	if !d.StreamUntil.IsZero() {
		h = mix(h, mix(saltStream, uint64(d.StreamUntil.UnixNano())))
	}
	if len(d.Metadata) > 0 {
		if text, err := json.Marshal(d.Metadata); err == nil { // keys in order
			h = mix(h, mix(saltMetadata, maphash.Bytes(p.seed, text)))
		}
	}
	return max(h, failed+1)
}
