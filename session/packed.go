package session

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// unpackedCopies is how many local copies are kept ready to hand out. Others,
// not asked for of late, are kept packed: a record with a dozen claims takes
// some 3 KiB as Go values, most of it maps, and a tenth of that packed. Packing
// takes some 50 µs and unpacking 20, so that only gates with more sessions in
// use than this pay for it, and once in a while.
const unpackedCopies = 1 << 15

// unpacked are the copies that are ready, in a ring from which CLOCK takes
// those that were not used since its hand last passed.
type unpacked struct {
	mu    sync.Mutex
	ring  []*liveCopy
	hand  int
	limit int
}

// add makes c one of the ready copies and returns the one that is not any
// more, or nil.
func (u *unpacked) add(c *liveCopy) *liveCopy {
	u.mu.Lock()
	defer u.mu.Unlock()
	c.recent.Store(true)
	if len(u.ring) < u.limit {
		u.ring = append(u.ring, c)
		return nil
	}
	for {
		i := u.hand
		u.hand = (u.hand + 1) % len(u.ring)
		if old := u.ring[i]; !old.recent.Swap(false) {
			u.ring[i] = c
			return old
		}
	}
}

// session returns c's record, or nil if what is kept of it cannot be read.
func (m *Manager) session(c *liveCopy) *Session {
	if s := c.s.Load(); s != nil {
		if !c.recent.Load() {
			c.recent.Store(true)
		}
		return s
	}
	s, err := unpack(c.key, *c.packed.Load())
	if err != nil {
		m.log.Error("a session's local copy cannot be read", "session", c.key.Short(), "error", err)
		m.live.forget(c.key)
		return nil
	}
	if c.s.CompareAndSwap(nil, s) {
		m.ready(c)
	}
	return s
}

// ready has c in the ring and packs the copy that leaves it. A copy is in the
// ring at most once: it comes when its record is set, and the record is only
// taken away from one that has left.
func (m *Manager) ready(c *liveCopy) {
	old := m.unpacked.add(c)
	if old == nil {
		return
	}
	if old.packed.Load() == nil {
		b, err := pack(old.s.Load())
		if err != nil {
			m.log.Error("a session's local copy cannot be packed", "session", old.key.Short(), "error", err)
			m.live.forget(old.key)
			return
		}
		old.packed.Store(&b)
	}
	old.s.Store(nil)
}

// common is what many records have in them, so that packing need not spell it
// out; the most frequent comes last.
const common = `"https://","preferred_username":"locale":"given_name":"family_name":"nickname":"picture":"zoneinfo":"updated_at":` +
	`"phone_number":"phone_number_verified":"acr":"azp":"nonce":"at_hash":"c_hash":"iat":"exp":"nbf":"jti":"client_id":"scope":` +
	`"urn:zitadel:iam:user:metadata":"urn:zitadel:iam:user:resourceowner:name":"urn:zitadel:iam:user:resourceowner:primary_domain":` +
	`"urn:zitadel:iam:user:resourceowner:id":"urn:zitadel:iam:org:domain:primary":"urn:zitadel:iam:org:id":"urn:zitadel:iam:org:project:roles":{` +
	`"neosc:demo_session_id":"neosc:workspace_type":"neosc:demo_expires_at":"groups":["roles":["admin","neosc","user","demo-user"],` +
	`"aud":["iss":"https://sid":"V1_"auth_time":17"amr":["pwd","mfa","otp"],"email_verified":true,"name":"sub":"` +
	`{"kind":"service","identity":{"provider":"local"{"kind":"browser","identity":{"provider":"zitadel_cloud","zitadel_onprem","issuer":"https://` +
	`","subject":"","user_id":"","email":"","email_verified":true,"name":"","organization":"","roles":["user"],"groups":[],"claims":{` +
	`"},"amr":["pwd"],"authenticated_at":"2026-00Z"},"idp_session":"V1_","created_at":"2026-00Z","expires_at":"2026-00Z","idle_expires_at":"2026-00Z","version":1}`

// packer and unpacker keep what (de)compression needs between uses: some
// hundred KiB the one, some ten the other.
type packer struct {
	w   *flate.Writer
	out bytes.Buffer
}

var packers = sync.Pool{New: func() any {
	p := new(packer)
	p.w, _ = flate.NewWriterDict(&p.out, flate.DefaultCompression, []byte(common)) // fails for no known level
	return p
}}

var unpackers = sync.Pool{New: func() any { return flate.NewReaderDict(bytes.NewReader(nil), []byte(common)) }}

// pack returns the record of s without its key, compressed.
func pack(s *Session) ([]byte, error) {
	b, err := EncodeRecord(s)
	if err != nil {
		return nil, err
	}
	p := packers.Get().(*packer)
	defer packers.Put(p)
	p.out.Reset()
	p.w.Reset(&p.out)
	if _, err := p.w.Write(b); err != nil {
		return nil, err
	}
	if err := p.w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(p.out.Bytes()), nil
}

func unpack(k Key, b []byte) (*Session, error) {
	r := unpackers.Get().(io.ReadCloser)
	defer unpackers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(b), []byte(common)); err != nil {
		return nil, err
	}
	record, err := io.ReadAll(io.LimitReader(r, MaxRecordSize+1))
	if err != nil {
		return nil, errors.Join(errors.New("packed session"), err)
	}
	return DecodeRecord(k, record)
}
