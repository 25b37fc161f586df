package archive

import (
	"errors"
	"fmt"
	"io/fs"
)

// OpenRegular opens a regular file, or a link to one within fsys. Its kind is looked
// at before: to open a pipe waits for who writes into it, and no signal ends that.
func OpenRegular(fsys fs.FS, name string) (fs.File, error) {
	info, err := fs.Stat(fsys, name)
	if err == nil && info.Mode().IsRegular() {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, err
		}
		if info, err = f.Stat(); err == nil && info.Mode().IsRegular() {
			return f, nil
		}
		return nil, errors.Join(err, f.Close(), irregular(name))
	}
	if err == nil {
		return nil, irregular(name)
	}
	if link, wrong := fs.Lstat(fsys, name); wrong == nil && link.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s is a link that cannot be followed, such as out of the folder; put the file itself there: %w", name, err)
	}
	return nil, err
}

func irregular(name string) error {
	return fmt.Errorf("%s is no regular file; take it out of the folder", name)
}
