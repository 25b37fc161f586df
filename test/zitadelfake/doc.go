// Package zitadelfake is a fake of the parts of Zitadel that demo grants use. It
// is no Zitadel: it follows what is published of these parts, in memory, and
// can be told to fail.
//
// It has the services zitadel.authorization.v2.AuthorizationService (List-,
// Create-, Update- and DeleteAuthorization) and zitadel.project.v2.ProjectService
// (AddProjectRole, RemoveProjectRole, ListProjectRoles) by the Connect protocol
// in JSON, the token endpoint for service users with keys, and the caller of
// Actions of version 2. Messages with fields that the published ones lack are
// refused, so that a slip of a name is seen. What is known of its ways holds
// here as well: one authorization for a person in an organization and a project,
// updates that replace, lists that follow writes late, deletes of nothing that
// succeed.
package zitadelfake
