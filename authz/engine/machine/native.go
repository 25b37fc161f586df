package machine

// library is what the machine implements itself; tracks names those that follow
// operands which move with the clock by themselves.
type library struct {
	natives map[string]native
	tracks  map[string]bool
}

func newLibrary() *library {
	b := &library{natives: map[string]native{}, tracks: map[string]bool{}}
	b.addComparisons()
	b.addArithmetic()
	b.addTypes()
	b.addStrings()
	b.addTrimming()
	b.addArrays()
	b.addSets()
	b.addObjects()
	b.addCollections()
	b.addTime()
	b.addNets()
	b.addTokens()
	return b
}

func (b *library) add(name string, n native) { b.natives[name] = n }

func (b *library) track(name string, n native) {
	b.natives[name] = n
	b.tracks[name] = true
}

// native returns the machine's own implementation of a built-in, nil if it has
// none, and whether it tracks. Those with a fixed pattern are prepared here.
func (c *compiler) native(name string, args []operand) (n native, tracks bool) {
	if n := c.prepared(name, args); n != nil {
		return n, false
	}
	return c.library.natives[name], c.library.tracks[name]
}

// prepared makes built-ins whose pattern is fixed.
func (c *compiler) prepared(name string, args []operand) native {
	switch {
	case len(args) < 2 || args[0].value == nil || args[0].value.kind != String:
		return nil
	case name == "regex.match":
		return regexMatch(args[0].value.s)
	case name == "glob.match" && len(args) == 3:
		return globMatch(args[0].value.s)
	}
	return nil
}
