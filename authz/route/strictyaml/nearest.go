package strictyaml

import "strings"

// Nearest returns the candidate that word most likely meant: one that differs
// only in case, dashes and underscores, else the one with the smallest edit
// distance, if that is at most a third of the word's length (at least 1, at
// most 3). Earlier candidates win ties.
func Nearest(word string, candidates []string) (string, bool) {
	if len(word) > 64 {
		return "", false
	}
	plain := simplify(word)
	best, bestDist := "", min(max(len(plain)/3, 1), 3)+1
	for _, c := range candidates {
		if d := distance(plain, simplify(c)); d < bestDist {
			best, bestDist = c, d
		}
	}
	return best, best != ""
}

// simplify takes away what people most often get wrong: allowOrigins,
// allow-origins and allow_origins are the same word.
func simplify(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours each cost 1.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last := make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}
