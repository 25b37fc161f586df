package machine

// Values that need no place in a frame. They are never changed.
var (
	trueValue  = &Value{kind: Bool, truth: true, frozen: true}
	falseValue = &Value{kind: Bool, frozen: true}
	nullValue  = &Value{kind: Null, frozen: true}
	emptyText  = &Value{kind: String, frozen: true}
	emptyArray = &Value{kind: Array, frozen: true, sorted: true}
	smallInts  = makeSmallInts()

	// present stands for an object of which nothing but its presence is read.
	present = &Value{kind: Object, frozen: true, sorted: true, shape: true}
)

func makeSmallInts() (ints [1024]Value) {
	for i := range ints {
		ints[i] = Value{kind: Number, isInt: true, n: int64(i), frozen: true}
	}
	return ints
}

func boolValue(b bool) *Value {
	if b {
		return trueValue
	}
	return falseValue
}
