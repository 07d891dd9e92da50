// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"unicode"
)

// initialisms are the words of the schema that Go spells in capitals, or in a
// way of their own.
var initialisms = map[string]string{
	"actvity": "Activity", // event_log_actvity is misspelt in the schema
	"ai":      "AI", "api": "API", "bcc": "BCC", "bios": "BIOS", "cc": "CC", "cis": "CIS", "cpe": "CPE", "cpid": "CPID", "cpu": "CPU", "csc": "CSC",
	"cve": "CVE", "cves": "CVEs", "cvss": "CVSS", "cwe": "CWE", "cwes": "CWEs", "d3f": "D3F", "d3fend": "D3FEND", "dce": "DCE", "dhcp": "DHCP", "dkim": "DKIM",
	"dll": "DLL", "dmarc": "DMARC", "dn": "DN", "dns": "DNS", "dnssec": "DNSSEC", "dt": "DT", "edns": "EDNS", "egid": "EGID", "eid": "EID", "epss": "EPSS",
	"euid": "EUID", "ftp": "FTP", "gpu": "GPU", "guid": "GUID", "hassh": "HASSH", "hotp": "HOTP", "html": "HTML", "http": "HTTP", "hw": "HW", "iam": "IAM", "iccid": "ICCID",
	"id": "ID", "idp": "IDP", "ids": "IDs", "ime": "IME", "imei": "IMEI", "ip": "IP", "ips": "IPs", "isp": "ISP", "ja3": "JA3", "ja3s": "JA3S", "ja4": "JA4",
	"json": "JSON", "kb": "KB", "ldap": "LDAP", "mac": "MAC", "meid": "MEID", "mfa": "MFA", "mhz": "MHz", "mime": "MIME", "nist": "NIST", "ntp": "NTP",
	"os": "OS", "osint": "OSINT", "ou": "OU", "pid": "PID", "ptid": "PTID", "purl": "PURL", "ram": "RAM", "rcode": "RCode", "rdata": "RData", "rdp": "RDP", "rpc": "RPC", "rssi": "RSSI",
	"samesite": "SameSite", "san": "SAN", "sans": "SANs", "sbom": "SBOM", "scim": "SCIM", "smb": "SMB", "smtp": "SMTP", "sni": "SNI", "sp": "SP", "spf": "SPF",
	"ssh": "SSH", "sso": "SSO", "tcp": "TCP", "tid": "TID", "tlp": "TLP", "tls": "TLS", "totp": "TOTP", "tsig": "TSIG", "ttl": "TTL", "udid": "UDID", "uid": "UID",
	"uri": "URI", "url": "URL", "urls": "URLs", "uuid": "UUID", "vlan": "VLAN", "vpc": "VPC", "vpn": "VPN", "vram": "VRAM", "auid": "AUID", "gps": "GPS", "ok": "OK",
}

// camel makes a Go name of a schema name such as api_activity.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		if w, ok := initialisms[word]; ok {
			b.WriteString(w)
		} else if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// caption makes the part of a constant's name of a caption such as "Partially
// Corrected": its letters and digits, each word with a capital.
func caption(text string) string {
	text = strings.NewReplacer("&", " And ", "+", " Plus ", "#", " Sharp ", "%", " Percent ", "'", "", "’", "").Replace(text)
	words := strings.FieldsFunc(text, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var b strings.Builder
	for i, w := range words {
		// Numbers that stand beside each other are kept apart.
		if i > 0 && unicode.IsDigit(rune(w[0])) && unicode.IsDigit(rune(b.String()[b.Len()-1])) {
			b.WriteByte('_')
		}
		if in, ok := initialisms[strings.ToLower(w)]; ok && len(w) > 1 {
			b.WriteString(in)
		} else {
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}
