package attack

var accounts = []attack{}
