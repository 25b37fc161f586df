package attack

var policyCases = []attack{}
