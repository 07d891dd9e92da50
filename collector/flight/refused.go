// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What is refused says why: a driver shows it to whoever tried.
var (
	errReadOnly  = status.Error(codes.Unimplemented, "docket only reads: what is stored came by its gateways and emitters; send a SELECT as a query")
	errSubstrait = status.Error(codes.Unimplemented, "there are no Substrait plans: send SQL")
)

func (*server) DoPutCommandStatementUpdate(context.Context, flightsql.StatementUpdate) (int64, error) {
	return 0, errReadOnly
}

func (*server) DoPutPreparedStatementUpdate(context.Context, flightsql.PreparedStatementUpdate, flight.MessageReader) (int64, error) {
	return 0, errReadOnly
}

func (*server) DoPutCommandStatementIngest(context.Context, flightsql.StatementIngest, flight.MessageReader) (int64, error) {
	return 0, errReadOnly
}

func (*server) DoPutCommandSubstraitPlan(context.Context, flightsql.StatementSubstraitPlan) (int64, error) {
	return 0, errReadOnly
}

func (*server) GetFlightInfoSubstraitPlan(context.Context, flightsql.StatementSubstraitPlan, *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	return nil, errSubstrait
}

func (*server) GetSchemaSubstraitPlan(context.Context, flightsql.StatementSubstraitPlan, *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	return nil, errSubstrait
}

func (*server) CreatePreparedSubstraitPlan(context.Context, flightsql.ActionCreatePreparedSubstraitPlanRequest) (out flightsql.ActionCreatePreparedStatementResult, err error) {
	return out, errSubstrait
}

func (*server) BeginTransaction(context.Context, flightsql.ActionBeginTransactionRequest) ([]byte, error) {
	return nil, errTransaction
}

func (*server) EndTransaction(context.Context, flightsql.ActionEndTransactionRequest) error {
	return errTransaction
}

func (*server) BeginSavepoint(context.Context, flightsql.ActionBeginSavepointRequest) ([]byte, error) {
	return nil, errTransaction
}

func (*server) EndSavepoint(context.Context, flightsql.ActionEndSavepointRequest) error {
	return errTransaction
}
