package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a bundle.
const (
	// MaxPacked is how many bytes a bundle may have as it is sent.
	MaxPacked = 32 << 20
	// MaxBytes is how many bytes it may unpack to. Deflate makes up to 1,032 bytes
	// of one, so that MaxPacked alone bounds nothing.
	MaxBytes  = 64 << 20
	maxFiles  = 2000
	maxName   = 255
	maxFolder = 16
)

// Names with a meaning.
const (
	manifestName   = ".manifest"
	signaturesName = ".signatures.json"
)

// Archive is a bundle that was read. It is not to be changed.
type Archive struct {
	Manifest Manifest
	// Files are all but manifest and signatures, by name.
	Files []File
	// ID is a hash over manifest and files, in 32 hex digits. A bundle that is
	// signed anew keeps it.
	ID string
	// Size is how many bytes the files have.
	Size int64

	manifest   *File    // as it was read; nil: there is none
	signatures []string // JWTs
}

// File is one file of a bundle.
type File struct {
	// Name is its path, without a slash before it.
	Name string
	Text []byte
	// Value is what the text of a JSON or YAML document of data is; nil for others.
	Value any
}

// Data reports whether a file is one of data.
func (f *File) Data() bool {
	base := path.Base(f.Name)
	return base == "data.json" || yamlData(base)
}

func yamlData(base string) bool { return base == "data.yaml" || base == "data.yml" }

// Rego reports whether a file is a module, and whether it is one of tests.
func (f *File) Rego() (module, test bool) {
	return strings.HasSuffix(f.Name, ".rego"), strings.HasSuffix(f.Name, "_test.rego")
}

// Read unpacks a bundle. It refuses what is too big, has an entry that is no
// plain file, leads out of the bundle or is there twice, and what this gate has
// no use for though it would change what is decided (patches, WebAssembly). The
// signature is not looked at: see Verify, and Trust.Read for what comes from where
// anybody may have put it.
func Read(packed []byte) (*Archive, error) {
	a, err := read(packed)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return a, nil
}

func read(packed []byte) (*Archive, error) {
	a, err := unpacked(packed)
	if err != nil {
		return nil, err
	}
	return a, a.decode()
}

// decode sets the values of the files of data, and holds them against the roots.
func (a *Archive) decode() error {
	b := newBudget()
	for i := range a.Files {
		if err := b.decode(&a.Files[i]); err != nil {
			return fmt.Errorf("%s: %w", a.Files[i].Name, err)
		}
	}
	return a.Manifest.checkData(a.Files)
}

// unpacked is an archive of which only manifest and signatures are decoded, which
// are small: what the data is may cost thousands of times what was sent.
func unpacked(packed []byte) (*Archive, error) {
	if len(packed) > MaxPacked {
		return nil, fmt.Errorf("has more than %d bytes, which is the most that a gate takes", MaxPacked)
	}
	rest := bytes.NewReader(packed)
	z, err := gzip.NewReader(rest)
	if err != nil {
		return nil, errors.New("is no gzip file; make one with gate bundle build or opa build")
	}
	z.Multistream(false) // a second archive behind the first would be read by some and not by others
	bound := &bounded{r: z, left: MaxBytes + 1<<20}
	a := &Archive{Manifest: Manifest{Roots: []string{""}}}
	if err := a.unpack(tar.NewReader(bound)); err != nil {
		return nil, err
	}
	if err := onlyPadding(bound); err != nil {
		return nil, err
	}
	if rest.Len() > 0 {
		return nil, fmt.Errorf("has %d more bytes behind its end", rest.Len())
	}
	slices.SortFunc(a.Files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
	a.ID = a.hash()
	return a, a.Manifest.check()
}

// bounded ends a stream that unpacks to more than a bundle may have.
type bounded struct {
	r    io.Reader
	left int64
}

var errTooBig = fmt.Errorf("unpacks to more than %d bytes", MaxBytes)

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooBig
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (a *Archive) unpack(r *tar.Reader) error {
	seen := map[string]bool{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
		name, err := entryName(h)
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if seen[name] {
			return fmt.Errorf("has %q twice, of which one would decide in silence; build it anew", name)
		}
		if seen[name] = true; len(seen) > maxFiles {
			return fmt.Errorf("has more than %d files", maxFiles)
		}
		text, err := io.ReadAll(io.LimitReader(r, MaxBytes-a.Size+1))
		if err != nil {
			return broken(err)
		}
		if a.Size += int64(len(text)); a.Size > MaxBytes {
			return errTooBig
		}
		if err := a.take(File{Name: name, Text: text}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

// broken names what tar and gzip say of streams that end too early.
func broken(err error) error {
	if errors.Is(err, errTooBig) {
		return err
	}
	return fmt.Errorf("is cut or damaged: %w", err)
}

// entryName is where an entry lies. OPA's own bundles begin names with a slash.
func entryName(h *tar.Header) (string, error) {
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink, tar.TypeLink:
		return "", fmt.Errorf("entry %.100q is a link; only plain files are taken", h.Name)
	default:
		return "", fmt.Errorf("entry %.100q is of tar's type %q; only plain files are taken", h.Name, h.Typeflag)
	}
	name := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(h.Name, "./"), "/"), "/")
	if (name == "" || name == ".") && h.Typeflag == tar.TypeDir {
		return "", nil
	}
	odd := func(c rune) bool { return c == '\\' || unicode.IsControl(c) }
	switch {
	case !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, odd) || !utf8.ValidString(name):
		return "", fmt.Errorf("entry %.100q is no path inside the bundle", h.Name)
	case len(name) > maxName || strings.Count(name, "/") > maxFolder:
		return "", fmt.Errorf("entry %.100q has a name longer than %d bytes or nests deeper than %d folders", h.Name, maxName, maxFolder)
	}
	return name, nil
}

// take keeps one file, if it is of a kind that is understood.
func (a *Archive) take(f File) (err error) {
	switch base := path.Base(f.Name); {
	case (f.Name == manifestName || f.Name == signaturesName) && len(f.Text) > maxSmall:
		return fmt.Errorf("has more than %d bytes", maxSmall)
	case f.Name == manifestName:
		if f.Value, err = decodeJSON(f.Text, &budget{left: maxDecodedSmall}); err != nil {
			return err
		}
		a.manifest = &f
		return a.Manifest.set(f.Text)
	case f.Name == signaturesName:
		a.signatures, err = signaturesOf(f.Text)
		return err
	case base == manifestName || base == signaturesName:
		return errors.New("stands in a folder; it belongs to the top of the bundle")
	case base == "patch.json" || base == ".manifest.pb" || base == "plan.json" || base == "plan.pb" || strings.HasSuffix(base, ".wasm"):
		return errors.New("is not taken: only whole bundles of Rego and data with a .manifest in JSON are (opa build, without -t)")
	}
	a.Files = append(a.Files, f)
	return nil
}

// onlyPadding reads to the end of what is unpacked: tar ends with zeros.
func onlyPadding(r io.Reader) error {
	buf := make([]byte, 8<<10)
	for {
		n, err := r.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return errors.New("has more behind the end of its archive")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(err)
		}
	}
}

// hash is over all that is signed.
func (a *Archive) hash() string {
	h := sha256.New()
	if a.manifest != nil {
		fmt.Fprintf(h, "%d:%s", len(a.manifest.Text), a.manifest.Text)
	}
	h.Write([]byte("files"))
	for i := range a.Files {
		f := &a.Files[i]
		fmt.Fprintf(h, "%d:%s%d:", len(f.Name), f.Name, len(f.Text))
		h.Write(f.Text)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
