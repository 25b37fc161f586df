package attack

var sessions = []attack{}
