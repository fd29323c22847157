module github.com/tidegate/tidegate/bench/rivals

go 1.26.0

require (
	github.com/diegoholiveira/jsonlogic/v3 v3.10.1
	github.com/growthbook/growthbook-golang v0.7.0
	github.com/launchdarkly/go-sdk-common/v3 v3.1.0
	github.com/launchdarkly/go-server-sdk-evaluation/v3 v3.0.1
	github.com/statsig-io/go-sdk v1.35.1
	github.com/tidegate/tidegate v0.0.0
	github.com/twmb/murmur3 v1.2.2
	golang.org/x/mod v0.43.0
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/josharian/intern v1.0.0 // indirect
	github.com/launchdarkly/go-jsonstream/v3 v3.1.0 // indirect
	github.com/launchdarkly/go-semver v1.0.3 // indirect
	github.com/mailru/easyjson v0.7.7 // indirect
	github.com/rogpeppe/go-internal v1.16.0 // indirect
	github.com/statsig-io/ip3country-go v0.2.0 // indirect
	github.com/tmaxmax/go-sse v0.10.0 // indirect
	github.com/ua-parser/uap-go v0.0.0-20211112212520-00c877edfe0f // indirect
	golang.org/x/exp v0.0.0-20220823124025-807a23277127 // indirect
	gopkg.in/yaml.v2 v2.4.0 // indirect
)

replace github.com/tidegate/tidegate => ../..
