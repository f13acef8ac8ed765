//go:build pins

// Names the program that ./build builds, so that go.sum has all it is made of.
package pins

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
