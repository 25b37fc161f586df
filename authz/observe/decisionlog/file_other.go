//go:build !linux

package decisionlog

import "os"

func uncache(*os.File) {}
