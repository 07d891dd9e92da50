// SPDX-License-Identifier: Apache-2.0

package ocsf

// Captions are the schema's; facts of OCSF 1.8.0.
var (
	statusCaptions  = map[int32]string{0: "Unknown", 1: "Success", 2: "Failure", 99: "Other"}
	findingStatuses = map[int32]string{0: "Unknown", 1: "New", 2: "In Progress", 3: "Suppressed", 4: "Resolved", 5: "Archived", 6: "Deleted", 99: "Other"}
	actionCaptions  = map[int32]string{0: "Unknown", 1: "Allowed", 2: "Denied", 3: "Observed", 4: "Modified", 99: "Other"}

	dispositionCaptions = map[int32]string{
		0: "Unknown", 1: "Allowed", 2: "Blocked", 3: "Quarantined", 4: "Isolated", 5: "Deleted", 6: "Dropped",
		7: "Custom Action", 8: "Approved", 9: "Restored", 10: "Exonerated", 11: "Corrected", 12: "Partially Corrected",
		13: "Uncorrected", 14: "Delayed", 15: "Detected", 16: "No Action", 17: "Logged", 18: "Tagged", 19: "Alert",
		20: "Count", 21: "Reset", 22: "Captcha", 23: "Challenge", 24: "Access Revoked", 25: "Rejected",
		26: "Unauthorized", 27: "Error", 99: "Other",
	}
	userTypes   = map[int32]string{0: "Unknown", 1: "User", 2: "Admin", 3: "System", 4: "Service", 99: "Other"}
	entityTypes = map[int32]string{0: "Unknown", 1: "Device", 2: "User", 3: "Group", 4: "Organization", 5: "Policy", 6: "Email", 7: "Network Zone", 99: "Other"}

	classAPIActivity          = class{uid: 6003, category: 6, activities: map[int32]string{0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Other"}}
	classDetectionFinding     = class{uid: 2004, category: 2, activities: map[int32]string{0: "Unknown", 1: "Create", 2: "Update", 3: "Close", 99: "Other"}, statuses: findingStatuses}
	classApplicationLifecycle = class{uid: 6002, category: 6, activities: map[int32]string{0: "Unknown", 1: "Install", 2: "Remove", 3: "Start", 4: "Stop", 5: "Restart", 6: "Enable", 7: "Disable", 8: "Update", 99: "Other"}}
	classEntityManagement     = class{uid: 3004, category: 3, activities: map[int32]string{0: "Unknown", 1: "Create", 2: "Read", 3: "Update", 4: "Delete", 5: "Move", 6: "Enroll", 7: "Unenroll", 8: "Enable", 9: "Disable", 10: "Activate", 11: "Deactivate", 12: "Suspend", 13: "Resume", 99: "Other"}}
	classApplicationError     = class{uid: 6008, category: 6, activities: map[int32]string{0: "Unknown", 1: "General Error", 2: "Translation Error", 99: "Other"}}
)

func (*APIActivity) class() class          { return classAPIActivity }
func (*DetectionFinding) class() class     { return classDetectionFinding }
func (*ApplicationLifecycle) class() class { return classApplicationLifecycle }
func (*EntityManagement) class() class     { return classEntityManagement }
func (*ApplicationError) class() class     { return classApplicationError }

// derive fills what follows from other attributes. A caption that the caller
// wrote for an id of 99 (Other) stays: there it is the source's own word.
func derive(e Event) {
	b, c := e.Common(), e.class()
	b.ClassUID, b.CategoryUID = c.uid, c.category
	b.TypeUID = int64(c.uid)*100 + int64(b.ActivityID)
	if b.Metadata.Version == "" {
		b.Metadata.Version = Version
	}
	if b.Metadata.Profiles == nil {
		b.Metadata.Profiles = []string{}
	}
	statuses := c.statuses
	if statuses == nil {
		statuses = statusCaptions
	}
	caption(&b.Status, b.StatusID, statuses)
	caption(&b.Action, b.ActionID, actionCaptions)
	caption(&b.Disposition, b.DispositionID, dispositionCaptions)
	switch e := e.(type) {
	case *APIActivity:
		deriveActor(e.Actor)
	case *EntityManagement:
		deriveActor(e.Actor)
		for _, m := range []*ManagedEntity{e.Entity, e.EntityResult} {
			if m != nil {
				caption(&m.Type, m.TypeID, entityTypes)
			}
		}
	}
}

func deriveActor(a *Actor) {
	if a != nil && a.User != nil {
		caption(&a.User.Type, a.User.TypeID, userTypes)
	}
}

// caption writes the caption of id to s; an id of 0 or 99, or one without a
// caption, leaves s as it is.
func caption(s *string, id int32, captions map[int32]string) {
	if id == 0 || id == 99 {
		return
	}
	// What is right already is not written, so that events may share objects.
	if c, ok := captions[id]; ok && *s != c {
		*s = c
	}
}
