// SPDX-License-Identifier: Apache-2.0

package sql

// A Class is a class of OCSF, which has a view of its name.
type Class struct {
	Name string
	UID  int64
}

// Classes returns the classes that have views, sorted by name.
func Classes() []Class {
	all := make([]Class, len(classes))
	for i, c := range classes {
		all[i] = Class{c.name, c.uid}
	}
	return all
}

// classes are the OCSF classes of all versions that Docket knows, by the names of
// their views. Events of any producer may be stored, so that each has its view,
// whether anything is in it or not. The catalogs themselves are not read: that
// would take longer than most queries. A test compares.
var classes = []struct {
	name string
	uid  int64
}{
	{"account_change", 3001},
	{"admin_group_query", 5009},
	{"airborne_broadcast_activity", 8002},
	{"api_activity", 6003},
	{"application_error", 6008},
	{"application_lifecycle", 6002},
	{"application_security_posture_finding", 2007},
	{"authentication", 3002},
	{"authorize_session", 3003},
	{"clipboard_activity", 1012},
	{"cloud_resources_inventory_info", 5023},
	{"compliance_finding", 2003},
	{"config_state", 5002},
	{"data_security_finding", 2006},
	{"datastore_activity", 6005},
	{"detection_finding", 2004},
	{"device_config_state_change", 5019},
	{"device_power_state_activity", 1011},
	{"dhcp_activity", 4004},
	{"dns_activity", 4003},
	{"drone_flights_activity", 8001},
	{"email_activity", 4009},
	{"email_file_activity", 4011},
	{"email_url_activity", 4012},
	{"entity_management", 3004},
	{"event_log_actvity", 1008},
	{"evidence_info", 5040},
	{"file_activity", 1001},
	{"file_hosting", 6006},
	{"file_query", 5007},
	{"file_remediation_activity", 7002},
	{"folder_query", 5008},
	{"ftp_activity", 4008},
	{"group_management", 3006},
	{"http_activity", 4002},
	{"iam_analysis_finding", 2008},
	{"incident_finding", 2005},
	{"inventory_info", 5001},
	{"job_query", 5010},
	{"kernel_activity", 1003},
	{"kernel_extension_activity", 1002},
	{"kernel_object_query", 5006},
	{"memory_activity", 1004},
	{"module_activity", 1005},
	{"module_query", 5011},
	{"network_activity", 4001},
	{"network_connection_query", 5012},
	{"network_file_activity", 4010},
	{"network_remediation_activity", 7004},
	{"networks_query", 5013},
	{"ntp_activity", 4013},
	{"osint_inventory_info", 5021},
	{"patch_state", 5004},
	{"peripheral_activity", 1010},
	{"peripheral_device_query", 5014},
	{"prefetch_query", 205019},
	{"process_activity", 1007},
	{"process_query", 5015},
	{"process_remediation_activity", 7003},
	{"rdp_activity", 4005},
	{"registry_key_activity", 201001},
	{"registry_key_query", 205004},
	{"registry_value_activity", 201002},
	{"registry_value_query", 205005},
	{"remediation_activity", 7001},
	{"role_management", 3008},
	{"scan_activity", 6007},
	{"scheduled_job_activity", 1006},
	{"script_activity", 1009},
	{"security_finding", 2001},
	{"service_query", 5016},
	{"session_query", 5017},
	{"smb_activity", 4006},
	{"software_info", 5020},
	{"ssh_activity", 4007},
	{"startup_item_query", 5022},
	{"tunnel_activity", 4014},
	{"user_access", 3005},
	{"user_inventory", 5003},
	{"user_management", 3007},
	{"user_query", 5018},
	{"vulnerability_finding", 2002},
	{"web_resource_access_activity", 6004},
	{"web_resources_activity", 6001},
	{"windows_resource_activity", 201003},
	{"windows_service_activity", 201004},
}
