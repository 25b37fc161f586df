package zitadel

import "time"

// SettleFast has a step wait shorter for lists to follow.
func SettleFast(s *Step) { s.settle = time.Millisecond }
