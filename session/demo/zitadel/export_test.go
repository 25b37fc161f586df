package zitadel

import "time"

// SettleFast has a step wait shorter for lists to follow.
func SettleFast(s *Step) { s.settle = time.Millisecond }

// Patient gives looks for grants more time than a machine that is busy with
// other tests can take.
func Patient(a *Actions) { a.within = time.Minute }

// Impatient gives them the time that they have.
func Impatient(a *Actions) { a.within = answerTime }
