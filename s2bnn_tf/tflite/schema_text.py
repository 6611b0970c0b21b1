"""The schema of TensorFlow Lite, made by runtime/tools/make_schema.py."""

SCHEMA = """
Model 0=s4 1=TOperatorCode 2=TSubGraph 3=S 4=TBuffer 5=v4 6=TMetadata 7=TSignatureDef
OperatorCode 0=s1 1=S 2=s4 3=s4
SubGraph 0=TTensor 1=v4 2=v4 3=TOperator 4=S
Buffer 0=v1 1=s8 2=s8
Metadata 0=S 1=s4
SignatureDef 0=TTensorMap 1=TTensorMap 2=S 4=s4
Tensor 0=v4 1=s1 2=s4 3=S 4=tQuantizationParameters 5=s1 6=tSparsityParameters 7=v4 8=s1
 9=TVariantSubType
Operator 0=s4 1=v4 2=v4 3=s1 4=uBuiltinOptions 5=v1 6=s1 7=v1 8=v4 9=s8 10=s8 11=s1
 12=uBuiltinOptions2
TensorMap 0=S 1=s4
QuantizationParameters 0=v4 1=v4 2=v4 3=v8 4=s1 5=uQuantizationDetails 6=s4
SparsityParameters 0=v4 1=v4 2=TDimensionMetadata
VariantSubType 0=v4 1=s1 2=s1
BuiltinOptions 1=mConv2DOptions 2=mDepthwiseConv2DOptions 3=mConcatEmbeddingsOptions
 4=mLSHProjectionOptions 5=mPool2DOptions 6=mSVDFOptions 7=mRNNOptions 8=mFullyConnectedOptions
 9=mSoftmaxOptions 10=mConcatenationOptions 11=mAddOptions 12=mL2NormOptions
 13=mLocalResponseNormalizationOptions 14=mLSTMOptions 15=mResizeBilinearOptions 16=mCallOptions
 17=mReshapeOptions 18=mSkipGramOptions 19=mSpaceToDepthOptions 20=mEmbeddingLookupSparseOptions
 21=mMulOptions 22=mPadOptions 23=mGatherOptions 24=mBatchToSpaceNDOptions
 25=mSpaceToBatchNDOptions 26=mTransposeOptions 27=mReducerOptions 28=mSubOptions 29=mDivOptions
 30=mSqueezeOptions 31=mSequenceRNNOptions 32=mStridedSliceOptions 33=mExpOptions 34=mTopKV2Options
 35=mSplitOptions 36=mLogSoftmaxOptions 37=mCastOptions 38=mDequantizeOptions
 39=mMaximumMinimumOptions 40=mArgMaxOptions 41=mLessOptions 42=mNegOptions 43=mPadV2Options
 44=mGreaterOptions 45=mGreaterEqualOptions 46=mLessEqualOptions 47=mSelectOptions 48=mSliceOptions
 49=mTransposeConvOptions 50=mSparseToDenseOptions 51=mTileOptions 52=mExpandDimsOptions
 53=mEqualOptions 54=mNotEqualOptions 55=mShapeOptions 56=mPowOptions 57=mArgMinOptions
 58=mFakeQuantOptions 59=mPackOptions 60=mLogicalOrOptions 61=mOneHotOptions 62=mLogicalAndOptions
 63=mLogicalNotOptions 64=mUnpackOptions 65=mFloorDivOptions 66=mSquareOptions 67=mZerosLikeOptions
 68=mFillOptions 69=mBidirectionalSequenceLSTMOptions 70=mBidirectionalSequenceRNNOptions
 71=mUnidirectionalSequenceLSTMOptions 72=mFloorModOptions 73=mRangeOptions
 74=mResizeNearestNeighborOptions 75=mLeakyReluOptions 76=mSquaredDifferenceOptions
 77=mMirrorPadOptions 78=mAbsOptions 79=mSplitVOptions 80=mUniqueOptions 81=mReverseV2Options
 82=mAddNOptions 83=mGatherNdOptions 84=mCosOptions 85=mWhereOptions 86=mRankOptions
 87=mReverseSequenceOptions 88=mMatrixDiagOptions 89=mQuantizeOptions 90=mMatrixSetDiagOptions
 91=mHardSwishOptions 92=mIfOptions 93=mWhileOptions 94=mDepthToSpaceOptions
 95=mNonMaxSuppressionV4Options 96=mNonMaxSuppressionV5Options 97=mScatterNdOptions
 98=mSelectV2Options 99=mDensifyOptions 100=mSegmentSumOptions 101=mBatchMatMulOptions
 102=mCumsumOptions 103=mCallOnceOptions 104=mBroadcastToOptions 105=mRfft2dOptions
 106=mConv3DOptions 107=mHashtableOptions 108=mHashtableFindOptions 109=mHashtableImportOptions
 110=mHashtableSizeOptions 111=mVarHandleOptions 112=mReadVariableOptions
 113=mAssignVariableOptions 114=mRandomOptions 115=mBucketizeOptions 116=mGeluOptions
 117=mDynamicUpdateSliceOptions 118=mUnsortedSegmentProdOptions 119=mUnsortedSegmentMaxOptions
 120=mUnsortedSegmentMinOptions 121=mUnsortedSegmentSumOptions 122=mATan2Options 123=mSignOptions
 124=mBitcastOptions 125=mBitwiseXorOptions 126=mRightShiftOptions
BuiltinOptions2 1=mStablehloConcatenateOptions 2=mStablehloBroadcastInDimOptions
 3=mStablehloSliceOptions 4=mStablehloConvolutionOptions 5=mStablehloCustomCallOptions
 6=mStablehloReduceOptions 7=mStablehloScatterOptions 8=mStablehloCompareOptions
 9=mStablehloDynamicSliceOptions 10=mStablehloPadOptions 11=mStablehloIotaOptions
 12=mStablehloDotGeneralOptions 13=mStablehloReduceWindowOptions 14=mStablehloSortOptions
 15=mStablehloWhileOptions 16=mStablehloGatherOptions 17=mStablehloTransposeOptions
 18=mDilateOptions 19=mStablehloRngBitGeneratorOptions 20=mReduceWindowOptions
QuantizationDetails 1=mCustomQuantization
DimensionMetadata 0=s1 1=s4 2=s1 3=uSparseIndexVector 4=s1 5=uSparseIndexVector
Conv2DOptions 0=s1 1=s4 2=s4 3=s1 4=s4 5=s4 6=s1
DepthwiseConv2DOptions 0=s1 1=s4 2=s4 3=s4 4=s1 5=s4 6=s4
ConcatEmbeddingsOptions 0=s4 1=v4 2=v4
LSHProjectionOptions 0=s1
Pool2DOptions 0=s1 1=s4 2=s4 3=s4 4=s4 5=s1
SVDFOptions 0=s4 1=s1 2=s1
RNNOptions 0=s1 1=s1
FullyConnectedOptions 0=s1 1=s1 2=s1 3=s1 4=s1
SoftmaxOptions 0=s4
ConcatenationOptions 0=s4 1=s1
AddOptions 0=s1 1=s1
L2NormOptions 0=s1
LocalResponseNormalizationOptions 0=s4 1=s4 2=s4 3=s4
LSTMOptions 0=s1 1=s4 2=s4 3=s1 4=s1
ResizeBilinearOptions 2=s1 3=s1
CallOptions 0=s4
ReshapeOptions 0=v4
SkipGramOptions 0=s4 1=s4 2=s1
SpaceToDepthOptions 0=s4
EmbeddingLookupSparseOptions 0=s1
MulOptions 0=s1
PadOptions
GatherOptions 0=s4 1=s4
BatchToSpaceNDOptions
SpaceToBatchNDOptions
TransposeOptions
ReducerOptions 0=s1
SubOptions 0=s1 1=s1
DivOptions 0=s1
SqueezeOptions 0=v4
SequenceRNNOptions 0=s1 1=s1 2=s1
StridedSliceOptions 0=s4 1=s4 2=s4 3=s4 4=s4 5=s1
ExpOptions
TopKV2Options
SplitOptions 0=s4
LogSoftmaxOptions
CastOptions 0=s1 1=s1
DequantizeOptions
MaximumMinimumOptions
ArgMaxOptions 0=s1
LessOptions
NegOptions
PadV2Options
GreaterOptions
GreaterEqualOptions
LessEqualOptions
SelectOptions
SliceOptions
TransposeConvOptions 0=s1 1=s4 2=s4 3=s1 4=s1
SparseToDenseOptions 0=s1
TileOptions
ExpandDimsOptions
EqualOptions
NotEqualOptions
ShapeOptions 0=s1
PowOptions
ArgMinOptions 0=s1
FakeQuantOptions 0=s4 1=s4 2=s4 3=s1
PackOptions 0=s4 1=s4
LogicalOrOptions
OneHotOptions 0=s4
LogicalAndOptions
LogicalNotOptions
UnpackOptions 0=s4 1=s4
FloorDivOptions
SquareOptions
ZerosLikeOptions
FillOptions
BidirectionalSequenceLSTMOptions 0=s1 1=s4 2=s4 3=s1 4=s1 5=s1
BidirectionalSequenceRNNOptions 0=s1 1=s1 2=s1 3=s1
UnidirectionalSequenceLSTMOptions 0=s1 1=s4 2=s4 3=s1 4=s1 5=s1
FloorModOptions
RangeOptions
ResizeNearestNeighborOptions 0=s1 1=s1
LeakyReluOptions 0=s4
SquaredDifferenceOptions
MirrorPadOptions 0=s1
AbsOptions
SplitVOptions 0=s4
UniqueOptions 0=s1
ReverseV2Options
AddNOptions
GatherNdOptions
CosOptions
WhereOptions
RankOptions
ReverseSequenceOptions 0=s4 1=s4
MatrixDiagOptions
QuantizeOptions
MatrixSetDiagOptions
HardSwishOptions
IfOptions 0=s4 1=s4
WhileOptions 0=s4 1=s4
DepthToSpaceOptions 0=s4
NonMaxSuppressionV4Options
NonMaxSuppressionV5Options
ScatterNdOptions
SelectV2Options
DensifyOptions
SegmentSumOptions
BatchMatMulOptions 0=s1 1=s1 2=s1
CumsumOptions 0=s1 1=s1
CallOnceOptions 0=s4
BroadcastToOptions
Rfft2dOptions
Conv3DOptions 0=s1 1=s4 2=s4 3=s4 4=s1 5=s4 6=s4 7=s4
HashtableOptions 0=s4 1=s1 2=s1
HashtableFindOptions
HashtableImportOptions
HashtableSizeOptions
VarHandleOptions 0=S 1=S
ReadVariableOptions
AssignVariableOptions
RandomOptions 0=s8 1=s8
BucketizeOptions 0=v4
GeluOptions 0=s1
DynamicUpdateSliceOptions
UnsortedSegmentProdOptions
UnsortedSegmentMaxOptions
UnsortedSegmentMinOptions
UnsortedSegmentSumOptions
ATan2Options
SignOptions
BitcastOptions
BitwiseXorOptions
RightShiftOptions
StablehloConcatenateOptions 0=s8
StablehloBroadcastInDimOptions 0=v8
StablehloSliceOptions 0=v8 1=v8 2=v8
StablehloConvolutionOptions 0=v8 1=v8 2=v8 3=v8 4=v1 5=s8 6=s8 7=v8 8=s8 9=s8 10=v8 11=s8 12=s8
 13=v8 14=s8 15=s8 16=v4
StablehloCustomCallOptions 0=S 1=s1 2=S 3=s4 4=v4 5=v1
StablehloReduceOptions 0=v8 1=s4
StablehloScatterOptions 0=s1 1=v8 2=v8 3=v8 4=s8 5=s1 6=s4
StablehloCompareOptions 0=s4 1=s4
StablehloDynamicSliceOptions 0=v8
StablehloPadOptions 0=v8 1=v8 2=v8
StablehloIotaOptions 0=s8
StablehloDotGeneralOptions 0=v8 1=v8 2=v8 3=v8 4=v4
StablehloReduceWindowOptions 0=v8 1=v8 2=v8 3=v8 4=v8 5=s4
StablehloSortOptions 0=s8 1=s1 2=s4
StablehloWhileOptions 0=s4 1=s4
StablehloGatherOptions 0=v8 1=v8 2=v8 3=s8 4=v8 5=s1
StablehloTransposeOptions 0=v8
DilateOptions
StablehloRngBitGeneratorOptions 0=s1
ReduceWindowOptions 0=s4
CustomQuantization 0=v1
SparseIndexVector 1=mInt32Vector 2=mUint16Vector 3=mUint8Vector
Int32Vector 0=v4
Uint16Vector 0=v2
Uint8Vector 0=v1
"""

OPERATORS = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
 EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
 LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6
 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS SKIP_GRAM CALL
 CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
 SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE
 BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST
 PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN
 TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW
 ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK
 REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR
 LEAKY_RELU SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS
 WHERE RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
 NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
 BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D IMAG
 REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
 CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL
 BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD
 UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR
 RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM
 STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM
 STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
 STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG
 STABLEHLO_MINIMUM STABLEHLO_NEGATE STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER
 STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER
 STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
 STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT
 STABLEHLO_WHILE STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR
 REDUCE_WINDOW
"""
