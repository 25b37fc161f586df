package kit

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/neosc/gate/policies"
)

var (
	rateSetting  = regexp.MustCompile(`requests_per_second: \d+`)
	burstSetting = regexp.MustCompile(`burst: \d+`)
)

// WritePolicies writes the shipped policies into dir, with limits so high that
// they are charged and never reached.
func WritePolicies(dir string) error {
	files := policies.Files()
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		if name == policies.SchemaFile { // not part of a bundle
			return nil
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if name == policies.DataFile {
			b = rateSetting.ReplaceAll(b, []byte("requests_per_second: 1000000"))
			b = burstSetting.ReplaceAll(b, []byte("burst: 1000000"))
		}
		return os.WriteFile(to, b, 0o600)
	})
}
