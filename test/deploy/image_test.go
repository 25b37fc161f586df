package deploy

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestImagesAreEmptyButForTheProgramAndRunAsNobody reads the Dockerfiles' last
// stages.
func TestImagesAreEmptyButForTheProgramAndRunAsNobody(t *testing.T) {
	for _, file := range []string{"../../deploy/Dockerfile", "../../deploy/provisioner/Dockerfile"} {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) { readsImage(t, file) })
	}
}

func readsImage(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, last, ok := strings.Cut(string(b), "\nFROM scratch\n")
	if !ok || strings.Contains(last, "\nFROM ") {
		t.Fatal("the last stage is not from scratch")
	}
	if !regexp.MustCompile(`(?m)^USER [1-9][0-9]+:[1-9][0-9]+$`).MatchString(last) {
		t.Error("no user is set, by number and not root")
	}
	for line := range strings.Lines(last) {
		if word, _, _ := strings.Cut(line, " "); strings.TrimSpace(word) == "RUN" || word == "ADD" {
			t.Errorf("the last stage does %s", line)
		}
	}
	if !strings.Contains(string(b), "CGO_ENABLED=0 go build") {
		t.Error("the build is not without C")
	}
}

// TestTheBinaryNeedsNoLibrary builds gate as the image does.
func TestTheBinaryNeedsNoLibrary(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gate")
	cmd := exec.Command("go", "build", "-o", file, "./cmd/gate")
	cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 {
		t.Errorf("it needs %v (%v)", libs, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
	// In an image there are no zone files: the policy's zone comes from the binary.
	version := exec.Command(file, "version")
	version.Env = []string{"ZONEINFO=/nowhere"}
	if out, err := version.CombinedOutput(); err != nil {
		t.Errorf("gate version: %v\n%s", err, out)
	}
}
