package main

// workspaceRoute is the route of the applications that demo sessions open.
const workspaceRoute = "workspace"

// workspaceURL is where the pages of demo sessions lead, "" without such a host.
func (a *app) workspaceURL() string {
	for _, h := range a.live.File().Hosts() {
		if r := frontPage(h); r != nil && r.Name == workspaceRoute {
			return h.Origin + "/"
		}
	}
	return ""
}
