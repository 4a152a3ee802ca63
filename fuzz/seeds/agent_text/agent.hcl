log_level = "debug" # was: "info"
advertise_addr = "$ECS_IPV4"
encrypt = "${KEY}"
acl { tokens { agent = "s3cret" } }
telemetry { circonus_api_token = <<EOF
s3cret
EOF
}
retry_join = ["provider=aws tag_key=consul secret_access_key=s3cret", "{{ GetInterfaceIP `eth0` }}"]
