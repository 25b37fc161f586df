package machine

// kinds are the built-ins that ask for one.
var kinds = map[string]Kind{
	"is_null": Null, "is_boolean": Bool, "is_number": Number, "is_string": String,
	"is_array": Array, "is_object": Object, "is_set": Set,
}

func (b *library) addTypes() {
	for name, k := range kinds {
		// A value keeps its kind however the clock moves.
		b.track(name, func(_ *Frame, a *operands) *Value { return boolValue(a[0].kind == k) })
	}
	var names [Set + 1]*Value
	for k, name := range []string{"null", "boolean", "number", "string", "array", "object", "set"} {
		names[k] = &Value{kind: String, s: name, frozen: true}
	}
	b.track("type_name", func(_ *Frame, a *operands) *Value { return names[a[0].kind] })
}
