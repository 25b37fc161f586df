// Package switches lets administrators turn what a policy set declares for it:
// booleans and numbers that its rules read as data, such as
// data.neosc.switches.business_hours.
//
// The value in the set's data is the default. What somebody has set is kept in
// a database and takes the default's place before the set is compiled, so that
// it is part of the program: a change makes a new generation, and no decision
// mixes two. declare.go reads what a set declares, fold.go puts values in,
// keeper.go changes them and hears of changes elsewhere, sql.go keeps them.
package switches
